import { createHash } from 'node:crypto';
import { isObject, type JsonObject } from './objects.ts';
import { apiVersionOf, type Resource, type Resources } from './resources.ts';
import { goModel } from './schema/builtin.ts';
import type { Schema } from './schema/schema.ts';

/**
 * OpenAPI v3, as much as kubectl reads: the schemas (explain, client-side checks, merge keys) and one path per resource that
 * says which query parameters a PATCH takes. Built-in schemas have no descriptions: the client library does not carry them at
 * run time.
 */
export function openApiIndex(resources: Resources): JsonObject {
  const paths = groupVersions(resources).map((apiVersion) => {
    const path = pathOf(apiVersion);
    const hash = createHash('sha256')
      .update(JSON.stringify(openApiOf(resources, path)))
      .digest('hex');
    return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash.toUpperCase()}` }];
  });
  return { paths: Object.fromEntries(paths) };
}

function groupVersions(resources: Resources): string[] {
  return [...new Set(resources.all().map(apiVersionOf))];
}

function pathOf(apiVersion: string): string {
  return apiVersion.includes('/') ? `apis/${apiVersion}` : `api/${apiVersion}`;
}

/** The document of `api/v1` or `apis/GROUP/VERSION`, or undefined. */
export function openApiOf(resources: Resources, path: string): JsonObject | undefined {
  const served = resources.all().filter((resource) => pathOf(apiVersionOf(resource)) === path);
  if (served.length === 0) return undefined;
  const components = new Components();
  const paths = served.flatMap((resource) => pathsOf(resource, components.add(resource)));
  return {
    openapi: '3.0.0',
    info: { title: 'localkube', version: 'v1.36' },
    paths: Object.fromEntries(paths),
    components: { schemas: components.schemas },
  };
}

/** Schemas by name, gathered while they are referred to. */
class Components {
  readonly schemas: Record<string, JsonObject> = {};

  /** Adds the schema of a resource and returns its reference. */
  add(resource: Resource): string {
    const { group, version, kind } = resource;
    const reversed = group.split('.').reverse().join('.');
    const name =
      resource.custom === undefined
        ? `io.k8s.api.${group || 'core'}.${version}.${kind}`
        : `${reversed}.${version}.${kind}`;
    const { model: _model, ...schema } = resource.schema;
    this.schemas[name] = {
      ...this.#body(schema),
      'x-kubernetes-group-version-kind': [{ group, version, kind }],
    };
    return `#/components/schemas/${name}`;
  }

  #convert(schema: Schema): JsonObject {
    if (schema.model === undefined) return this.#body(schema);
    const name = `io.k8s.api.${goModel(schema.model)}`;
    if (this.schemas[name] === undefined) {
      this.schemas[name] = {};
      const { model: _model, ...plain } = schema;
      this.schemas[name] = this.#body(plain);
    }
    const { description } = schema;
    return {
      ...(description === undefined ? {} : { description }),
      allOf: [{ $ref: `#/components/schemas/${name}` }],
    };
  }

  #body({ goType, ...schema }: Schema): JsonObject {
    const result: JsonObject = { ...schema };
    if (schema['x-kubernetes-int-or-string'] === true && goType !== undefined) {
      return { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] };
    }
    if (schema.properties !== undefined) {
      result['properties'] = Object.fromEntries(
        Object.entries(schema.properties).map(([name, property]) => [
          name,
          this.#convert(property),
        ]),
      );
    }
    if (schema.items !== undefined) result['items'] = this.#convert(schema.items);
    if (isObject(schema.additionalProperties)) {
      result['additionalProperties'] = this.#convert(schema.additionalProperties as Schema);
    }
    return result;
  }
}

const queryParameters = ['dryRun', 'fieldManager', 'fieldValidation', 'force'].map((name) => ({
  name,
  in: 'query',
  schema: { type: name === 'force' ? 'boolean' : 'string', uniqueItems: true },
}));

function pathsOf(resource: Resource, reference: string): [string, JsonObject][] {
  const { group, version, kind, plural, isNamespaced } = resource;
  const gvk = { group, version, kind };
  const content = { 'application/json': { schema: { $ref: reference } } };
  const operation = (action: string, parameters: readonly JsonObject[] = []) => ({
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': gvk,
    parameters,
    responses: { 200: { description: 'OK', content } },
  });
  const scope = isNamespaced ? '/namespaces/{namespace}' : '';
  const collection = `/${pathOf(apiVersionOf(resource))}${scope}/${plural}`;
  const writes = queryParameters.slice(0, 3);
  return [
    [collection, { get: operation('list'), post: operation('post', writes) }],
    [
      `${collection}/{name}`,
      {
        get: operation('get'),
        put: operation('put', writes),
        patch: operation('patch', queryParameters),
        delete: operation('delete', queryParameters.slice(0, 1)),
      },
    ],
  ];
}
