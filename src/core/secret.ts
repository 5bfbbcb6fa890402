const hidden = new WeakMap<Secret, string>();

/** A value that prints as `[redacted]` wherever it is shown; only `reveal()` gives it away. */
export class Secret {
  /** The name a person knows it by, such as `BROKER_PASSWORD`. */
  readonly name: string;

  constructor(name: string, value: string) {
    this.name = name;
    hidden.set(this, value);
  }

  reveal(): string {
    return hidden.get(this) ?? '';
  }

  /** A secret made from this one, such as its form inside a URL. */
  map(change: (value: string) => string): Secret {
    return new Secret(this.name, change(this.reveal()));
  }

  toString(): string {
    return '[redacted]';
  }

  toJSON(): string {
    return '[redacted]';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `Secret(${this.name})`;
  }
}
