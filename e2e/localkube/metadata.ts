import { type FieldError, fieldError } from './errors.ts';
import type { Metadata } from './objects.ts';

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const qualifiedName = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const labelValue = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;

const texts = {
  subdomain:
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
  label:
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
  labelKey:
    "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
  labelValue:
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
};

/** Checks names and labels of a new or changed object, in the words of apimachinery. */
export function validateMetadata(metadata: Partial<Metadata>, kind: string): FieldError[] {
  return [...validateName(metadata, kind), ...validateLabels(metadata.labels ?? {})];
}

function validateName({ name }: Partial<Metadata>, kind: string): FieldError[] {
  if (name === undefined || name === '') {
    return [fieldError.required('metadata.name', 'name or generateName is required')];
  }
  const refuse = (text: string) => [fieldError.invalid('metadata.name', name, text)];
  if (kind === 'Namespace' || kind === 'Service')
    return label.test(name) && name.length <= 63 ? [] : refuse(texts.label);
  if (name.length > 253) return refuse('must be no more than 253 characters');
  return subdomain.test(name) ? [] : refuse(texts.subdomain);
}

function validateLabels(labels: Readonly<Record<string, string>>): FieldError[] {
  return Object.entries(labels).flatMap(([key, value]) => {
    const errors: FieldError[] = [];
    const refuse = (shown: string, text: string) =>
      errors.push(fieldError.invalid('metadata.labels', shown, text));
    if (!isLabelKey(key)) refuse(key, texts.labelKey);
    if (value.length > 63) refuse(value, 'must be no more than 63 characters');
    else if (!labelValue.test(value)) refuse(value, texts.labelValue);
    return errors;
  });
}

function isLabelKey(key: string): boolean {
  const parts = key.split('/');
  const [prefix, name] = parts.length === 2 ? parts : [undefined, ...parts];
  if (parts.length > 2 || name === undefined || name.length > 63) return false;
  return qualifiedName.test(name) && (prefix === undefined || subdomain.test(prefix));
}

const suffixAlphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** A name for generateName: the prefix and five random characters. */
export function generatedName(prefix: string, random: () => number): string {
  const suffix = Array.from({ length: 5 }, () =>
    suffixAlphabet.charAt(Math.floor(random() * suffixAlphabet.length)),
  );
  return prefix.slice(0, 58) + suffix.join('');
}
