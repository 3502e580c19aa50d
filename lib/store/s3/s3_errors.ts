/**
 * What servers and connections answer, as failures with a code and a remedy.
 *
 * Sources: "Error responses" of the Amazon S3 API Reference, the codes of Ceph, MinIO, Google and R2, and the messages of the three runtimes.
 *
 * @module
 */

import type { StoreFailed } from "../../errors/mod.ts";
import { storeFailed } from "../mod.ts";
import type { S3Keys } from "./credentials.ts";
import { rootOf, textOf } from "./xml.ts";

// --- types

/** A request that failed. */
export interface Fault {
  readonly failed: StoreFailed;
  /** The status of the answer, if there was one. */
  readonly status?: number;
  /** The code of the server, such as `NoSuchKey`. */
  readonly code?: string;
  /** Whether it may succeed if it is tried again. */
  readonly isTransient: boolean;
  /** Milliseconds that the server asks to wait before. */
  readonly wait?: number;
}

/** What a failure is. */
interface Meaning {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
  readonly isTransient?: boolean;
}

/** The sorts of failures. */
export type Sort =
  | "denied"
  | "wrongSecret"
  | "unknownKey"
  | "noKeys"
  | "expired"
  | "clock"
  | "noBucket"
  | "noObject"
  | "noListing"
  | "region"
  | "slow"
  | "quota"
  | "full"
  | "large"
  | "damaged"
  | "exists"
  | "conflict"
  | "unsupported"
  | "broken"
  | "refused"
  | "notS3"
  | "nobody"
  | "unknownHost"
  | "tls"
  | "silent"
  | "cut"
  | "notPermitted"
  | "short"
  | "long"
  | "otherRange";

// --- constructors

const again = "Try again";

/** Failures of who asks: keys, clock, region, permissions. */
const ofAccess = {
  denied: {
    code: "EACCES",
    message: "the server denied access",
    remedy:
      "Allow these keys s3:ListBucket and s3:ListBucketMultipartUploads on the bucket, and s3:GetObject, s3:PutObject, " +
      "s3:DeleteObject and s3:AbortMultipartUpload on its objects",
  },
  wrongSecret: {
    code: "EACCES",
    message: "the secret key is not the one of the access key",
    remedy: "Check secretAccessKey or AWS_SECRET_ACCESS_KEY, and that no proxy changes requests",
  },
  unknownKey: {
    code: "EACCES",
    message: "the server does not know the access key",
    remedy: "Check accessKeyId or AWS_ACCESS_KEY_ID, and that the endpoint is the server that gave it",
  },
  noKeys: {
    code: "ENOKEYS",
    message: "there are no keys",
    remedy:
      "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass { credentials }, or install @aws-sdk/credential-provider-node, " +
      "which finds the keys of profiles, containers and instances",
  },
  expired: {
    code: "EKEYEXPIRED",
    message: "the keys have expired",
    remedy:
      "Pass { credentials: async () => keys }, a function that gives new ones, or install @aws-sdk/credential-provider-node",
  },
  clock: {
    code: "ECLOCK",
    message: "the clock of this machine differs from the server's by more than 15 minutes",
    remedy: "Set the clock, for example with NTP",
  },
  region: {
    code: "EREGION",
    message: "the bucket is in another region",
    remedy: 'Pass the region, such as { region: "eu-west-1" }, or set AWS_REGION',
  },
  notPermitted: {
    code: "EPERM",
    message: "this process may not use the network",
    remedy: "Run Deno with --allow-net --allow-env",
  },
} satisfies Partial<Record<Sort, Meaning>>;

/** Failures of what is asked for: buckets, objects, the server itself. */
const ofRequests = {
  noBucket: {
    code: "ENOBUCKET",
    message: "there is no such bucket",
    remedy: "Create it, or check its name and the endpoint",
  },
  noObject: { code: "ENOENT", message: "there is no such object", remedy: "Check the name, or list the store" },
  noListing: {
    code: "ENOENT",
    message: "the server looked for an object, not for a bucket",
    remedy:
      "Check AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the option endpoint: it is the URL of the server, without the bucket",
  },
  slow: {
    code: "EAGAIN",
    message: "the server is busy",
    remedy: `${again}, or lower { concurrency }`,
    isTransient: true,
  },
  quota: { code: "EDQUOT", message: "a quota of the server is reached", remedy: "Raise it, or remove old checkpoints" },
  full: { code: "ENOSPC", message: "the server is full", remedy: "Give it more space, or remove old checkpoints" },
  large: {
    code: "EFBIG",
    message: "the object is larger than the server allows",
    remedy: "Save in smaller components",
  },
  damaged: {
    code: "EBADMSG",
    message: "bytes were changed on their way to the server",
    remedy: `${again}; if it lasts, check the network and its proxies`,
    isTransient: true,
  },
  exists: { code: "EEXIST", message: "the object exists or has changed", remedy: again },
  conflict: { code: "EAGAIN", message: "another request changes the object", remedy: again, isTransient: true },
  unsupported: {
    code: "ENOSYS",
    message: "the server does not have this operation",
    remedy: "Use a server that has the whole protocol of S3",
  },
  broken: {
    code: "EIO",
    message: "the server failed",
    remedy: `${again}, and see the log of the server`,
    isTransient: true,
  },
  refused: { code: "EIO", message: "the server refused the request", remedy: "Check the bucket and the endpoint" },
  long: { code: "EFBIG", message: "the object is too long", remedy: "The checkpoint is damaged: load an older one" },
  short: { code: "ETRUNC", message: "the object is shorter", remedy: "The checkpoint is damaged: load an older one" },
  otherRange: {
    code: "EBADMSG",
    message: "the server answered other bytes than asked for",
    remedy: "Use a server that reads ranges, and check proxies in between",
  },
} satisfies Partial<Record<Sort, Meaning>>;

/** Failures of the connection. */
const ofConnections = {
  nobody: {
    code: "ECONNREFUSED",
    message: "no server listens there",
    remedy: "Start it, or check { endpoint }, or AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL",
    isTransient: true,
  },
  unknownHost: {
    code: "ENOTFOUND",
    message: "the server's name is unknown",
    remedy: "Check { endpoint } and { region }, and that this machine can reach a name server",
    isTransient: true,
  },
  tls: {
    code: "ETLS",
    message: "there is no secure connection",
    remedy:
      "Give the endpoint with http:// if the server has no TLS on this port. Else check its certificate; one of your own authority " +
      "goes into NODE_EXTRA_CA_CERTS, in Deno into DENO_CERT",
  },
  silent: {
    code: "ETIMEDOUT",
    message: "the server was silent for too long",
    remedy: "Check the network, or raise { timeout }",
    isTransient: true,
  },
  cut: {
    code: "ECONNRESET",
    message: "the connection broke",
    remedy: "Check the network, then try again",
    isTransient: true,
  },
  notS3: {
    code: "ENOTS3",
    message: "the answer is not one of an S3 server",
    remedy:
      "Check { endpoint }, or AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL: it is the URL of the S3 API, not of a console or web site",
  },
} satisfies Partial<Record<Sort, Meaning>>;

const meanings: Readonly<Record<Sort, Meaning>> = { ...ofAccess, ...ofRequests, ...ofConnections };

/** The sorts of the codes of servers. */
const sorts: ReadonlyMap<string, Sort> = new Map(
  Object.entries(
    {
      denied: [
        "AccessDenied",
        "AllAccessDisabled",
        "AccountProblem",
        "NotSignedUp",
        "AccessForbidden",
        "InvalidObjectState",
      ],
      wrongSecret: ["SignatureDoesNotMatch"],
      unknownKey: ["InvalidAccessKeyId", "InvalidSecurity", "Unauthorized"],
      expired: ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"],
      clock: ["RequestTimeTooSkewed", "RequestExpired"],
      noBucket: ["NoSuchBucket", "InvalidBucketName"],
      noObject: ["NoSuchKey", "NoSuchVersion"],
      region: [
        "PermanentRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "InvalidRegion",
      ],
      slow: [
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "TooManyRequests",
        "ThrottlingException",
        "RequestLimitExceeded",
        "Busy",
      ],
      quota: ["QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "ServiceQuotaExceeded", "TooManyBuckets"],
      full: ["XMinioStorageFull", "InsufficientStorage", "XMinioBackendDown"],
      large: ["EntityTooLarge"],
      damaged: [
        "BadDigest",
        "XAmzContentSHA256Mismatch",
        "XAmzContentChecksumMismatch",
        "InvalidDigest",
        "MissingContentLength",
        "IncompleteBody",
      ],
      exists: ["PreconditionFailed"],
      conflict: ["OperationAborted", "ConditionalRequestConflict"],
      unsupported: ["NotImplemented", "MethodNotAllowed"],
      broken: ["InternalError", "ServiceUnavailable", "RequestTimeout", "TemporaryRedirect", "ServerNotInitialized"],
    } satisfies Partial<Record<Sort, readonly string[]>>,
  ).flatMap(([sort, codes]) => codes.map((code) => [code, sort as Sort] as const)),
);

/** The sorts of statuses whose answer has no code, as those of HEAD. */
const ofStatus: Readonly<Record<number, Sort>> = {
  301: "region",
  307: "broken",
  403: "denied",
  404: "noObject",
  411: "damaged",
  409: "conflict",
  412: "exists",
  413: "large",
  416: "short",
  429: "slow",
  501: "unsupported",
  503: "slow",
  507: "full",
};

/** The sorts of exceptions of the runtimes, by what their messages and codes say. */
const ofExceptions: readonly (readonly [says: RegExp, sort: Sort])[] = [
  [/ENOKEYS/, "noKeys"],
  [/NotCapable|Requires net access|--allow-net/, "notPermitted"],
  [/ETIMEDOUT|timed? ?out|UND_ERR_(HEADERS|BODY|CONNECT)_TIMEOUT/i, "silent"],
  [/ENOTFOUND|EAI_AGAIN|dns error|failed to lookup|getaddrinfo|DNS/i, "unknownHost"],
  [
    /certificate|CERT_|_CERT|SELF_SIGNED|\bTLS\b|\bSSL|UnknownIssuer|InvalidContentType|wrong version number|EPROTO/i,
    "tls",
  ],
  [/ECONNREFUSED|Connection ?refused|FailedToOpenSocket|EHOSTUNREACH|ENETUNREACH|unable to connect/i, "nobody"],
];

/** An exception and what caused it, down to its first cause. */
function causesOf(cause: unknown, depth: number = 0): readonly unknown[] {
  const { cause: below, errors }: { readonly cause?: unknown; readonly errors?: unknown } = Object(cause);
  const first: unknown = below ?? (Array.isArray(errors) ? errors[0] : undefined);
  return first === undefined || depth > 5 ? [cause] : [cause, ...causesOf(first, depth + 1)];
}

/** The names, codes and messages of exceptions. */
function saidBy(causes: readonly unknown[]): string {
  return causes.flatMap((cause) => {
    const { name, code, message }: Readonly<Record<string, unknown>> = Object(cause);
    return [name, code, message].filter((part) => typeof part === "string");
  }).join(" ");
}

/** The message of the first cause: Deno and Node say only "fetch failed" above it. */
function reasonOf(causes: readonly unknown[]): string {
  const { message }: { readonly message?: unknown } = Object(causes.at(-1));
  const said = typeof message === "string" ? message : String(causes.at(-1));
  // Deno repeats the URL, Bun advises those who call fetch.
  return said.replace(/^error sending request for url \(\S*\): (client error \(\w+\): )?/, "")
    .replace(/\. For more information, pass .* to fetch\(\)\.?$/, "");
}

/** Text of a server or runtime for a message: short, in one line, and without the keys. */
function cleaned(text: string, keys: S3Keys | undefined): string {
  const secrets = keys === undefined ? [] : [keys.secretAccessKey, keys.sessionToken, keys.accessKeyId];
  const hidden = secrets.filter((secret) => secret !== undefined && secret.length >= 8)
    .reduce<string>((rest, secret) => rest.replaceAll(secret!, "…"), text);
  return hidden.replace(/((?:Signature|Credential|Security-Token|Authorization)[=:]\s*)[^&\s,]+/gi, "$1…")
    .replace(/\s+/g, " ").trim().slice(0, 200);
}

/** Where a request failed: the operation, the object in messages, and the keys, which no message shows. */
export interface FailedRequest {
  readonly operation: string;
  readonly path: string;
  readonly keys: S3Keys | undefined;
}

/**
 * A failure of a sort.
 *
 * @param detail What the server or runtime said.
 */
export function faultOf(
  sort: Sort,
  { operation, path, keys }: FailedRequest,
  detail: string = "",
  more?: Partial<Fault>,
): Fault {
  const { code, message, remedy, isTransient = false } = meanings[sort];
  const said = cleaned(detail, keys);
  const failed = storeFailed(operation, path, code, said === "" ? message : `${message} (${said})`, remedy);
  return { failed, isTransient, ...more };
}

/**
 * The failure in an answer.
 *
 * @param status Its status; an answer of 200 can be a failure, too.
 * @param headers Its headers.
 * @param body Its text; empty for HEAD.
 */
export function faultOfAnswer(place: FailedRequest, status: number, headers: Headers, body: string): Fault {
  const isXml = rootOf(body) === "Error";
  const code = isXml ? textOf(body, "Code") : undefined;
  const parts = isXml ? [code, textOf(body, "Message")] : [`status ${status}`];
  const said = parts.filter((part) => part !== undefined && part !== "").join(": ");
  const found = sortOf(status, code, body);
  // A bucket that exists can be listed.
  const sort = found === "noObject" && place.operation === "list" ? "noListing" : found;
  const region = headers.get("x-amz-bucket-region") ?? (isXml ? textOf(body, "Region") : undefined);
  const detail = sort === "region" && region ? `it is in ${region}; ${said}` : said;
  const seconds = Number(headers.get("retry-after") ?? NaN);
  return faultOf(sort, place, detail, {
    status,
    ...(code !== undefined && { code }),
    ...(seconds > 0 && { wait: seconds * 1000 }),
  });
}

function sortOf(status: number, code: string | undefined, body: string): Sort {
  const known = code === undefined ? undefined : sorts.get(code);
  if (known !== undefined) return known;
  const byStatus = ofStatus[status] ?? (status >= 500 ? "broken" : undefined);
  if (code !== undefined) return byStatus ?? "refused";
  // Only an S3 server can say that there is no object: a web server's 404 must not look like an empty store.
  if (body.trim() !== "" && status < 500 && status !== 429) return "notS3";
  return byStatus ?? (status < 400 ? "notS3" : "refused");
}

/** The failure in an exception of the runtime. */
export function faultOfException(place: FailedRequest, cause: unknown): Fault {
  const causes = causesOf(cause);
  const said = saidBy(causes);
  const sort = ofExceptions.find(([says]) => says.test(said))?.[1] ?? "cut";
  return faultOf(sort, place, reasonOf(causes));
}
