using Marmot.NotifyServer.Dispatch;
using Marmot.NotifyServer.Inbox;
using Marmot.NotifyServer.Providers;
using Marmot.NotifyServer.Triggers;
using Marmot.Protocol.Events;
using Marmot.Protocol.Push;
using Marmot.Protocol.RelayClient;

namespace Marmot.NotifyServer;

/// <summary>The texts of all states in metrics, logs and on /readyz, at one place. Dashboards and alerts rest on them: a text changes only with a line in the
/// CHANGELOG.</summary>
internal static class NotifyLabels
{
    private static readonly string[] Reasons = [.. Enum.GetValues<PushReason>().Select(Text)];

    public static string Label(this PushReason reason) => Reasons[(int)reason];

    public static string Label(this EventOutcome outcome) => outcome switch
    {
        EventOutcome.Queued => "queued",
        EventOutcome.InboxFull => "inbox-full",
        EventOutcome.Backlog => "backlog",
        EventOutcome.TooLarge => "too-large",
        EventOutcome.OtherKind => "other-kind",
        EventOutcome.OtherRecipient => "other-recipient",
        EventOutcome.NotNip44 => "not-nip44",
        EventOutcome.Seen => "seen",
        EventOutcome.BadId => "bad-id",
        EventOutcome.Malformed => "malformed",
        EventOutcome.BadSignature => "bad-signature",
        EventOutcome.NotOpenable => "not-openable",
        EventOutcome.NotATrigger => "not-a-trigger",
        EventOutcome.Canary => "canary",
        EventOutcome.DialectOff => "dialect-off",
        EventOutcome.Duplicate => "duplicate",
        EventOutcome.ClaimsFull => "claims-full",
        EventOutcome.QueueFull => "queue-full",
        _ => "done",
    };

    public static string Label(this TokenOutcome outcome) => outcome switch
    {
        TokenOutcome.Repeated => "repeated",
        TokenOutcome.RateLimited => "token-rate",
        TokenOutcome.Skipped => "skipped",
        _ => "decrypted",
    };

    public static string Label(this TokenLoss cause) => cause switch
    {
        TokenLoss.Coalesced => "coalesced",
        TokenLoss.DeviceRate => "device-rate",
        TokenLoss.TokenRate => "token-rate",
        TokenLoss.NoProvider => "no-provider",
        TokenLoss.Implausible => "implausible",
        TokenLoss.DialectOff => "dialect-off",
        TokenLoss.ClaimsFull => "claims-full",
        _ => "queue-full",
    };

    public static string Label(this PushEnd end) => end switch
    {
        PushEnd.Accepted => "accepted",
        PushEnd.Dead => "dead",
        PushEnd.Foreign => "foreign",
        PushEnd.Refused => "refused",
        PushEnd.Uncertain => "uncertain",
        PushEnd.Expired => "expired",
        PushEnd.Abandoned => "abandoned",
        _ => "coalesced",
    };

    public static string Label(this CanaryOutcome outcome) => outcome switch
    {
        CanaryOutcome.Arrived => "arrived",
        CanaryOutcome.Lost => "lost",
        _ => "refused",
    };

    public static string Label(this RelayState state) => state switch
    {
        RelayState.Disconnected => "disconnected",
        RelayState.Pending => "pending",
        RelayState.Live => "live",
        RelayState.Authenticating => "authenticating",
        RelayState.AuthRefused => "auth-refused",
        RelayState.Closed => "closed",
        _ => "refused",
    };

    public static string Label(this RelayChange change) => change switch
    {
        RelayChange.EoseMissing => "eose-missing",
        _ => "limits-read",
    };

    public static string Label(this InboxListOutcome outcome) => outcome.State switch
    {
        InboxListState.Published => "published",
        InboxListState.Present => "present",
        InboxListState.NoAnswer => "no-answer",
        _ => outcome.Prefix.Label(),
    };

    public static string Label(this TokenDialect dialect) => dialect switch
    {
        TokenDialect.Mip05Short => "mip05-280",
        TokenDialect.Mip05Long => "mip05-1084",
        _ => "marmot-push-v1",
    };

    // Apple's words are the names themselves.
    private static string Text(PushReason reason) => reason switch
    {
        PushReason.None => "",
        PushReason.Ok => "ok",
        PushReason.Timeout => "timeout",
        PushReason.Unreachable => "unreachable",
        PushReason.Circuit => "circuit",
        PushReason.Fault => "fault",
        PushReason.Stopped => "stopped",
        PushReason.Queued => "queued",
        PushReason.Retried => "retried",
        PushReason.Replica => "replica",
        PushReason.Unknown => "unknown",
        PushReason.ServerError => "server-error",
        PushReason.Status400 => "status-400",
        PushReason.Status404 => "status-404",
        PushReason.Status405 => "status-405",
        PushReason.Status413 => "status-413",
        PushReason.FcmInvalidField => "INVALID_FIELD",
        PushReason.FcmInvalidArgument => "INVALID_ARGUMENT",
        PushReason.FcmThirdPartyAuthError => "THIRD_PARTY_AUTH_ERROR",
        PushReason.FcmUnauthenticated => "UNAUTHENTICATED",
        PushReason.FcmSenderIdMismatch => "SENDER_ID_MISMATCH",
        PushReason.FcmPermissionDenied => "PERMISSION_DENIED",
        PushReason.FcmUnregistered => "UNREGISTERED",
        PushReason.FcmNotFound => "NOT_FOUND",
        PushReason.FcmQuotaExceeded => "QUOTA_EXCEEDED",
        PushReason.FcmInternal => "INTERNAL",
        PushReason.FcmUnavailable => "UNAVAILABLE",
        PushReason.OAuthUnreachable => "oauth-unreachable",
        PushReason.OAuthEmpty => "oauth-empty",
        PushReason.OAuthRefused => "oauth-refused",
        PushReason.OAuthInvalidGrant => "invalid_grant",
        PushReason.OAuthInvalidClient => "invalid_client",
        PushReason.OAuthUnauthorizedClient => "unauthorized_client",
        PushReason.OAuthInvalidScope => "invalid_scope",
        _ => reason.ToString(),
    };
}
