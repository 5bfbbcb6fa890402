/** What lies at a path of a host, as far as the SSH user can see. */
export type PathFacts =
  | { readonly type: 'missing' }
  /** Somewhere on the way is a directory that this user may not look into, or it is no Linux. */
  | { readonly type: 'hidden' }
  | {
      readonly type: 'found';
      readonly uid: number;
      readonly gid: number;
      /** The permission bits, such as 0o755. */
      readonly mode: number;
      readonly isFolder: boolean;
      /** Owner and mode decide who may write: no access list, no network file system, no device. */
      readonly isPlain: boolean;
    };
