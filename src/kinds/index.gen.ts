// Written by scripts/gen.ts from the files of this folder: do not edit.
import { beat } from './beat.ts';
import { container } from './container.ts';
import { flower } from './flower.ts';
import { redis } from './redis.ts';
import { sshfs } from './sshfs.ts';
import { webserver } from './webserver.ts';
import { worker } from './worker.ts';

export const kinds = [beat, container, flower, redis, sshfs, webserver, worker] as const;
