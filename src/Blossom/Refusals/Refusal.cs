using Microsoft.AspNetCore.Http;

namespace Marmot.Blossom.Refusals;

/// <summary>Why a request is refused: status, X-Reason, and a short code for metrics.</summary>
/// <remarks>Reasons are constants, printable ASCII below 256 characters, hold no <c>://</c> and never repeat what the caller sent: MDK drops any
/// other.</remarks>
internal sealed record Refusal(int Status, string Code, string Reason, TimeSpan? RetryAfter = null)
{
    public static Refusal NoToken { get; } = new(StatusCodes.Status401Unauthorized, "no_token",
        "sign a kind 24242 event and send it as Authorization: Nostr <base64url>");

    public static Refusal BadHash { get; } = new(StatusCodes.Status400BadRequest, "bad_hash",
        "the path must be 64 lower-case hex digits and an optional extension");

    public static Refusal NoSuchPath { get; } = new(StatusCodes.Status404NotFound, "no_path", "nothing answers at this path");

    public static Refusal NoSuchMethod { get; } = new(StatusCodes.Status405MethodNotAllowed, "no_method", "this path does not take the method; see Allow");

    public static Refusal NotFound { get; } = new(StatusCodes.Status404NotFound, "not_found", "no such blob here");

    public static Refusal NotOwner { get; } = new(StatusCodes.Status403Forbidden, "not_owner", "this key holds no claim on the blob");

    public static Refusal NoMedia { get; } = new(StatusCodes.Status403Forbidden, "no_media", "this server never alters bytes; use PUT /upload");

    public static Refusal BadShaHeader { get; } = new(StatusCodes.Status400BadRequest, "bad_sha_header", "X-SHA-256 must be 64 lower-case hex digits");

    public static Refusal BadExpiration { get; } = new(StatusCodes.Status400BadRequest, "bad_expiration",
        "X-Expiration must be a unix time in seconds that lies ahead");

    public static Refusal BadLength { get; } = new(StatusCodes.Status400BadRequest, "bad_length", "X-Content-Length must be a number of bytes");

    public static Refusal NoLength { get; } = new(StatusCodes.Status411LengthRequired, "no_length", "send X-Content-Length with the size of the blob");

    public static Refusal HashMismatch { get; } = new(StatusCodes.Status409Conflict, "hash_mismatch",
        "the body does not have the hash that was announced; send the exact bytes");

    public static Refusal HashNotSigned { get; } = new(StatusCodes.Status401Unauthorized, "hash_not_signed", "no x tag of the token is the hash of the body");

    public static Refusal Truncated { get; } = new(StatusCodes.Status400BadRequest, "truncated",
        "the body ended early or is not well-formed; nothing was stored");

    public static Refusal BadType { get; } = new(StatusCodes.Status415UnsupportedMediaType, "type",
        "this type is not taken here; send application/octet-stream");

    public static Refusal Blocked { get; } = new(StatusCodes.Status403Forbidden, "blocked", "this blob is not stored here");

    public static Refusal KeyNotAllowed { get; } = new(StatusCodes.Status403Forbidden, "key", "uploads are open to chosen keys only");

    public static Refusal KeyBanned { get; } = new(StatusCodes.Status403Forbidden, "key_banned", "this key may not upload here");

    public static Refusal AddressBlocked { get; } = new(StatusCodes.Status403Forbidden, "address", "this address is not served here");

    public static Refusal Full { get; } = new(StatusCodes.Status507InsufficientStorage, "full", "no space left; try another server", TimeSpan.FromMinutes(5));

    public static Refusal Broken { get; } = new(StatusCodes.Status503ServiceUnavailable, "storage", "the storage does not answer; try again later",
        TimeSpan.FromSeconds(30));

    public static Refusal Away { get; } = new(StatusCodes.Status503ServiceUnavailable, "away",
        "the storage behind this server does not answer; try again later or use another server", TimeSpan.FromSeconds(10));

    public static Refusal PaymentDue { get; } = new(StatusCodes.Status402PaymentRequired, "payment",
        "pay one of the requests in X-Cashu or X-Lightning and send the upload again with the proof");

    public static Refusal BadPayment { get; } = new(StatusCodes.Status400BadRequest, "bad_payment",
        "the proof of payment is not good; ask for the price again without one");

    public static Refusal Failed { get; } = new(StatusCodes.Status500InternalServerError, "failed", "something went wrong on the server");

    public static Refusal BadRequest(string code, string reason) => new(StatusCodes.Status400BadRequest, code, reason);

    public static Refusal BadToken(string reason) => new(StatusCodes.Status401Unauthorized, "bad_token", reason);

    public static Refusal NotOffered(string what) => new(StatusCodes.Status404NotFound, "not_offered", $"{what} is not offered here");

    public static Refusal TooLarge(long limit) =>
        new(StatusCodes.Status413PayloadTooLarge, "too_large", FormattableString.Invariant($"blobs of at most {limit} bytes are taken"));

    public static Refusal Quota(long limit) =>
        new(StatusCodes.Status507InsufficientStorage, "quota",
            FormattableString.Invariant($"a key may store at most {limit} bytes here; delete something first"));

    public static Refusal TooMuch(string what, TimeSpan retryAfter) =>
        new(StatusCodes.Status429TooManyRequests, "rate", $"too many {what}; wait and try again", retryAfter);

    public static Refusal Work(int bits) =>
        new(StatusCodes.Status403Forbidden, "work", FormattableString.Invariant($"proof of work of {bits} bits required in the token (NIP-13 nonce tag)"));

    public static Refusal Origin(string reason) => new(StatusCodes.Status502BadGateway, "origin", reason);
}
