import { load } from 'js-yaml';
import { ApiError, badRequest, unsupportedMediaType } from '../errors.ts';
import { isObject, type JsonObject } from '../objects.ts';
import type { Schema } from '../schema/schema.ts';
import { applyJsonPatch } from './json.ts';
import { applyMergePatch } from './merge.ts';
import { applyStrategicPatch } from './strategic.ts';

export const mediaTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

/** The function that a patch of this media type stands for. Strategic patches are for built-in kinds only. */
export function patchFunction(
  mediaType: string,
  text: string,
  schema: Schema | undefined,
  isCustom: boolean,
): (document: JsonObject) => unknown {
  if (mediaType === mediaTypes.json) {
    const patch = parsePatch(text);
    return (document) => orInvalid(() => applyJsonPatch(document, patch));
  }
  if (mediaType === mediaTypes.merge) {
    const patch = parsePatch(text);
    if (!isObject(patch)) {
      throw badRequest(
        'error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}',
      );
    }
    return (document) => applyMergePatch(document, patch);
  }
  if (mediaType === mediaTypes.strategic && !isCustom) {
    const patch = parseBody(text);
    if (!isObject(patch)) throw badRequest('a strategic merge patch is an object');
    return (document) => applyStrategicPatch(document, patch, schema);
  }
  const strategic = isCustom ? [] : [mediaTypes.strategic];
  throw unsupportedMediaType([mediaTypes.json, mediaTypes.merge, ...strategic, mediaTypes.apply]);
}

function orInvalid(run: () => unknown): unknown {
  try {
    return run();
  } catch {
    throw new ApiError(
      422,
      'Invalid',
      'the server rejected our request due to an error in our request',
      {},
    );
  }
}

function parsePatch(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw badRequest(
      `error decoding patch: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** A request's body: JSON, or YAML where the client says so. */
export function parseBody(text: string, mediaType = 'application/json'): unknown {
  if (mediaType.includes('protobuf') || mediaType.includes('cbor')) {
    throw unsupportedMediaType(['application/json', 'application/yaml']);
  }
  try {
    if (mediaType.includes('yaml')) return load(text);
    return JSON.parse(text) as unknown;
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw badRequest(
      `the object provided is unrecognized: couldn't get version/kind; json parse error: ${why}`,
    );
  }
}
