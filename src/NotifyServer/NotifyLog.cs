using Microsoft.Extensions.Logging;

namespace Marmot.NotifyServer;

/// <summary>All log messages. None holds content, a device token, a user's key or an address; relays and apps are the operator's own names.</summary>
internal static partial class NotifyLog
{
    [LoggerMessage(3001, LogLevel.Information, "app {App}: listening as {PublicKey}, retiring keys {Retiring}, apns {Apns}, fcm {Fcm}")]
    public static partial void AppReady(ILogger logger, string app, string publicKey, int retiring, bool apns, bool fcm);

    [LoggerMessage(3002, LogLevel.Warning, "app {App}: made a new key file {Path}; back it up, clients encrypt to it")]
    public static partial void KeyMade(ILogger logger, string app, string path);

    [LoggerMessage(3003, LogLevel.Warning, "app {App}: neither APNs nor FCM is configured; triggers are counted and dropped")]
    public static partial void NoProvider(ILogger logger, string app);

    [LoggerMessage(3004, LogLevel.Information, "relay {Relay} ({App}): {State}")]
    public static partial void RelayState(ILogger logger, string relay, string app, string state);

    [LoggerMessage(3005, LogLevel.Warning, "relay {Relay} ({App}): closed the subscription, {Prefix}; next try in {Pause}")]
    public static partial void RelayClosed(ILogger logger, string relay, string app, string prefix, TimeSpan pause);

    [LoggerMessage(3006, LogLevel.Warning, "relay {Relay} ({App}): refused authentication; nothing may arrive through it")]
    public static partial void RelayAuthRefused(ILogger logger, string relay, string app);

    [LoggerMessage(3007, LogLevel.Warning, "relay {Relay} ({App}): no EOSE after {Wait}; taken as live")]
    public static partial void RelayWithoutEose(ILogger logger, string relay, string app, TimeSpan wait);

    [LoggerMessage(3008, LogLevel.Information, "relay {Relay} ({App}): inbox list (kind 10050) {Outcome}")]
    public static partial void InboxList(ILogger logger, string relay, string app, string outcome);

    [LoggerMessage(3009, LogLevel.Information, "budget: {Operations} elliptic-curve operations a second over {Workers} workers")]
    public static partial void Budget(ILogger logger, int operations, int workers);

    [LoggerMessage(3010, LogLevel.Error, "a worker met an unexpected {Type}; the event is dropped, the worker goes on")]
    public static partial void WorkerFault(ILogger logger, string type);

    [LoggerMessage(3011, LogLevel.Information, "stopping: {Pending} pushes pending")]
    public static partial void Draining(ILogger logger, int pending);

    [LoggerMessage(3012, LogLevel.Information, "stopped: {Left} pushes abandoned")]
    public static partial void Drained(ILogger logger, int left);

    [LoggerMessage(3013, LogLevel.Information, "settings read anew; taken over: {Parts}")]
    public static partial void Reloaded(ILogger logger, string parts);

    [LoggerMessage(3014, LogLevel.Warning, "changed settings that need a restart: {Names}")]
    public static partial void ReloadLeft(ILogger logger, string names);

    [LoggerMessage(3015, LogLevel.Error, "settings not taken over, all stays as it was: {Reason}")]
    public static partial void ReloadRefused(ILogger logger, string reason);

    [LoggerMessage(3016, LogLevel.Warning, "relay {Relay} ({App}): {Limit}")]
    public static partial void RelayLimit(ILogger logger, string relay, string app, string limit);

    [LoggerMessage(3017, LogLevel.Warning, "relay {Relay} ({App}): our own trigger did not come back within {Wait}; {Lost} lost in a row")]
    public static partial void CanaryLost(ILogger logger, string relay, string app, TimeSpan wait, int lost);

    [LoggerMessage(3018, LogLevel.Warning, "relay {Relay} ({App}): takes no trigger of ours, {Prefix}; it cannot be measured")]
    public static partial void CanaryRefused(ILogger logger, string relay, string app, string prefix);

    [LoggerMessage(3019, LogLevel.Critical, "{Part} ended by an unexpected {Type}; the process stops, so that its supervisor starts it anew")]
    public static partial void CriticalFault(ILogger logger, string part, string type);
}
