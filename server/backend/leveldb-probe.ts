import { readLevel } from './leveldb.ts';

/** A process of its own that reads all of a LevelDB directory, for LevelDB to end it if it must. See leveldb.ts. */
const [directory = '', how] = process.argv.slice(2);
process.exitCode = await readLevel(directory, { compacts: how === 'compact' });
