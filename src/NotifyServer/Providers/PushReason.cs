namespace Marmot.NotifyServer.Providers;

/// <summary>Why a push ended, or a try of it: the providers' words and our own, a closed set, so that it can be a metric's label.</summary>
internal enum PushReason
{
    /// <summary>Nothing to say.</summary>
    None,

    // Ours.
    Ok,
    Timeout,
    Unreachable,
    Circuit,
    Fault,
    Stopped,
    Queued,
    Retried,
    Replica,
    Unknown,

    // Apple, "Handling notification responses from APNs"; the names are its words.
    BadDeviceToken,
    DeviceTokenNotForTopic,
    IdleTimeout,
    TopicDisallowed,
    BadTopic,
    MissingTopic,
    BadCollapseId,
    BadExpirationDate,
    BadMessageId,
    BadPriority,
    DuplicateHeaders,
    InvalidPushType,
    MissingDeviceToken,
    PayloadEmpty,
    ExpiredProviderToken,
    InvalidProviderToken,
    MissingProviderToken,
    UnrelatedKeyIdInToken,
    BadEnvironmentKeyIdInToken,
    BadEnvironmentKeyInToken,
    BadCertificate,
    BadCertificateEnvironment,
    Forbidden,
    Unregistered,
    ExpiredToken,
    TooManyProviderTokenUpdates,
    TooManyRequests,
    Shutdown,
    InternalServerError,
    ServiceUnavailable,
    ServerError,
    Status404,
    Status405,
    Status413,

    // Google, FcmError and canonical codes.
    FcmInvalidField,
    FcmInvalidArgument,
    Status400,
    FcmThirdPartyAuthError,
    FcmUnauthenticated,
    FcmSenderIdMismatch,
    FcmPermissionDenied,
    FcmUnregistered,
    FcmNotFound,
    FcmQuotaExceeded,
    FcmInternal,
    FcmUnavailable,

    // Google's OAuth endpoint (RFC 6749, 5.2).
    OAuthUnreachable,
    OAuthEmpty,
    OAuthRefused,
    OAuthInvalidGrant,
    OAuthInvalidClient,
    OAuthUnauthorizedClient,
    OAuthInvalidScope,
}
