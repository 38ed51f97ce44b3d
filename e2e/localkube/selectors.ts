import { badRequest } from './errors.ts';
import { at, isObject, type JsonObject, type KubeObject, objectsAt, stringAt } from './objects.ts';

/** Whether an object is selected. */
export type Selector = (object: KubeObject) => boolean;

type LabelTest = (labels: Readonly<Record<string, unknown>>) => boolean;

const everything: Selector = () => true;

/** `a=b,c!=d,e in (f,g),h notin (i),j,!k` */
export function parseLabelSelector(text: string): Selector {
  if (text.trim() === '') return everything;
  const tests = splitRequirements(text).map(parseRequirement);
  return ({ metadata }) => tests.every((test) => test(metadata.labels ?? {}));
}

/** Splits at commas outside parentheses. */
function splitRequirements(text: string): string[] {
  return text.split(/,(?![^(]*\))/).map((part) => part.trim());
}

function parseRequirement(text: string): LabelTest {
  const set = /^(\S+)\s+(in|notin)\s*\(([^)]*)\)$/.exec(text);
  if (set !== null) {
    const [, key = '', operator, list = ''] = set;
    const values = list.split(',').map((value) => value.trim());
    if (operator === 'in') return (labels) => values.includes(String(labels[key] ?? '\0'));
    return (labels) => !values.includes(String(labels[key] ?? '\0'));
  }
  const equality = /^([^\s=!]+)\s*(==|=|!=)\s*(\S*)$/.exec(text);
  if (equality !== null) {
    const [, key = '', operator, value = ''] = equality;
    if (operator === '!=') return (labels) => labels[key] !== value;
    return (labels) => labels[key] === value;
  }
  const existence = /^(!?)\s*([^\s=!()]+)$/.exec(text);
  if (existence !== null) {
    const [, negated, key = ''] = existence;
    return (labels) => Object.hasOwn(labels, key) === (negated === '');
  }
  const found = text.split(/\s+/)[1] ?? '';
  throw badRequest(
    `unable to parse requirement: found '${found}', expected: in, notin, =, ==, !=, gt, lt`,
  );
}

/** metav1.LabelSelector, as in a PodDisruptionBudget: matchLabels and matchExpressions. */
export function labelSelectorMatches(
  selector: unknown,
  labels: Readonly<Record<string, string>> = {},
): boolean {
  const wanted = at(selector, 'matchLabels');
  if (isObject(wanted) && Object.entries(wanted).some(([key, value]) => labels[key] !== value)) {
    return false;
  }
  return objectsAt(selector, 'matchExpressions').every((expression) =>
    expressionMatches(expression, labels),
  );
}

function expressionMatches(
  expression: JsonObject,
  labels: Readonly<Record<string, string>>,
): boolean {
  const value = labels[stringAt(expression, 'key')];
  const values = Array.isArray(expression['values']) ? (expression['values'] as unknown[]) : [];
  switch (expression['operator']) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      throw badRequest(`${String(expression['operator'])} is not a valid label selector operator`);
  }
}

/** `metadata.name=x,status.phase!=Running`, for the fields that the resource supports. */
export function parseFieldSelector(text: string, supported: readonly string[]): Selector {
  if (text.trim() === '') return everything;
  const tests = text.split(',').map((part) => {
    const match = /^([^=!]+)(==|=|!=)(.*)$/.exec(part.trim());
    if (match === null) throw badRequest(`invalid selector: '${part}'; can't understand '${part}'`);
    const [, field = '', operator, value = ''] = match;
    if (!['metadata.name', 'metadata.namespace', ...supported].includes(field)) {
      throw badRequest(`field label not supported: ${field}`);
    }
    const path = field.split('.');
    return (object: KubeObject) => {
      const found = at(object, ...path);
      const text = found === undefined ? '' : String(found);
      return (text === value) === (operator !== '!=');
    };
  });
  return (object) => tests.every((test) => test(object));
}
