import { customColumns } from './columns.ts';
import { type FieldError, fieldError } from './errors.ts';
import {
  at,
  isObject,
  type JsonObject,
  type KubeObject,
  objectAt,
  objectsAt,
  stringAt,
  timestamp,
} from './objects.ts';
import type { CustomResource, Resource } from './resources.ts';
import { modelSchema } from './schema/builtin.ts';
import { checkRules } from './schema/cel.ts';
import type { Schema } from './schema/schema.ts';
import { customStrategy } from './strategies.ts';

/** The resources that a CustomResourceDefinition serves, one per served version. */
export function resourcesOf(definition: KubeObject): Resource[] {
  const group = stringAt(definition, 'spec', 'group');
  const names = objectAt(definition, 'spec', 'names');
  const plural = stringAt(names, 'plural');
  return objectsAt(definition, 'spec', 'versions')
    .filter((version) => version['served'] === true)
    .map((version) => {
      const apiVersion = `${group}/${stringAt(version, 'name')}`;
      const show = (object: KubeObject) =>
        object.apiVersion === apiVersion ? object : { ...object, apiVersion };
      return {
        group,
        version: stringAt(version, 'name'),
        kind: stringAt(names, 'kind'),
        plural,
        singular: stringAt(names, 'singular'),
        listKind: stringAt(names, 'listKind'),
        shortNames: strings(names['shortNames']),
        categories: strings(names['categories']),
        isNamespaced: stringAt(definition, 'spec', 'scope') === 'Namespaced',
        subresources: Object.keys(objectAt(version, 'subresources')).sort().reverse(),
        schema: schemaOf(version),
        columns: customColumns(objectsAt(version, 'additionalPrinterColumns')),
        strategy: customStrategy,
        selectableFields: objectsAt(version, 'selectableFields').map((field) =>
          stringAt(field, 'jsonPath').replace(/^\./, ''),
        ),
        storage: `${group}/${plural}`,
        custom: customOf(version),
        toStorage: show,
        fromStorage: show,
      };
    });
}

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function schemaOf(version: JsonObject): Schema {
  const declared = objectAt(version, 'schema', 'openAPIV3Schema') as Schema;
  return {
    ...declared,
    properties: {
      ...declared.properties,
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: modelSchema('V1ObjectMeta'),
    },
  };
}

function customOf(version: JsonObject): CustomResource {
  const scale = at(version, 'subresources', 'scale');
  if (!isObject(scale)) return { scale: undefined };
  const path = (name: string) => stringAt(scale, name).replace(/^\./, '').split('.');
  return {
    scale: {
      spec: path('specReplicasPath'),
      status: path('statusReplicasPath'),
      selector: scale['labelSelectorPath'] === undefined ? undefined : path('labelSelectorPath'),
    },
  };
}

/** Fills in, in place, what a CRD leaves to defaults. */
export function defaultDefinition(definition: KubeObject): void {
  const spec = objectAt(definition, 'spec');
  const names = objectAt(spec, 'names');
  const kind = stringAt(names, 'kind');
  names['listKind'] ??= `${kind}List`;
  names['singular'] ??= kind.toLowerCase();
  spec['conversion'] ??= { strategy: 'None' };
}

/** The status of a definition that was accepted: established at once, where a real server takes a moment. */
export function establishedStatus(definition: KubeObject, now: Date): JsonObject {
  const condition = (type: string, reason: string, message: string) => ({
    type,
    status: 'True',
    lastTransitionTime: timestamp(now),
    reason,
    message,
  });
  const versions = objectsAt(definition, 'spec', 'versions');
  return {
    conditions: [
      condition('NamesAccepted', 'NoConflicts', 'no conflicts found'),
      condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted'),
    ],
    acceptedNames: objectAt(definition, 'spec', 'names'),
    storedVersions: versions.filter((one) => one['storage'] === true).map((one) => one['name']),
  };
}

/** What is wrong with a definition: the mistakes that people make, not all that a real server finds. */
export function validateDefinition(definition: KubeObject): FieldError[] {
  const spec = objectAt(definition, 'spec');
  const plural = stringAt(spec, 'names', 'plural');
  const group = stringAt(spec, 'group');
  const errors: FieldError[] = [];
  if (definition.metadata.name !== `${plural}.${group}`) {
    const detail = `must be spec.names.plural+"."+spec.group`;
    errors.push(fieldError.invalid('metadata.name', definition.metadata.name, detail));
  }
  for (const path of [['group'], ['names', 'plural'], ['names', 'kind']]) {
    if (stringAt(spec, ...path) === '') errors.push(fieldError.required(`spec.${path.join('.')}`));
  }
  if (!['Namespaced', 'Cluster'].includes(stringAt(spec, 'scope'))) {
    errors.push(fieldError.required('spec.scope'));
  }
  const versions = objectsAt(spec, 'versions');
  if (versions.filter((version) => version['storage'] === true).length !== 1) {
    const detail = 'must have exactly one version marked as storage version';
    errors.push(fieldError.invalid('spec.versions', undefined, detail));
  }
  if (!['None', ''].includes(stringAt(spec, 'conversion', 'strategy'))) {
    errors.push(fieldError.forbidden('spec.conversion', 'localkube knows no conversion webhooks'));
  }
  versions.forEach((version, position) => {
    const path = `spec.versions[${position}].schema.openAPIV3Schema`;
    const schema = at(version, 'schema', 'openAPIV3Schema');
    if (!isObject(schema)) errors.push(fieldError.required(path, 'schemas are required'));
    else
      errors.push(...checkStructure(schema as Schema, path), ...checkRules(schema as Schema, path));
  });
  return errors;
}

/** The rules of structural schemas that matter here: every node has a type. */
function checkStructure(schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const isTyped =
    schema.type !== undefined ||
    schema['x-kubernetes-int-or-string'] === true ||
    schema['x-kubernetes-preserve-unknown-fields'] === true;
  if (!isTyped)
    errors.push(
      fieldError.required(`${path}.type`, 'must not be empty for specified object fields'),
    );
  if (schema.type === 'array' && schema.items === undefined) {
    errors.push(fieldError.required(`${path}.items`, 'must be specified'));
  }
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    errors.push(...checkStructure(property, `${path}.properties[${name}]`));
  }
  if (schema.items !== undefined) errors.push(...checkStructure(schema.items, `${path}.items`));
  return errors;
}
