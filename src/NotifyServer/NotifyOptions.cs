namespace Marmot.NotifyServer;

/// <summary>Settings of the notification server. Secrets are named by file, never held here.</summary>
public sealed class NotifyOptions
{
    public const string Section = "Notify";

    /// <summary>Inbox relays to listen on. Default: the own relay when all servers run in one process, else none (which is refused at start).</summary>
    public IList<string> Relays { get; init; } = [];

    /// <summary>Relay URLs announced in kind 10050 instead of <see cref="Relays"/>, for relays that clients reach by another name. Default: empty.</summary>
    public IList<string> AnnounceRelays { get; init; } = [];

    /// <summary>Allow <c>ws://</c> to other hosts than loopback. Default: false, so that nobody on the path learns which key listens.</summary>
    public bool AllowPlaintextRelays { get; set; }

    /// <summary>PEM file of a private certificate authority for the relays. Default: empty, the system's store.</summary>
    public string RelayCaFile { get; set; } = "";

    /// <summary>One entry an app: own key, own credentials. Default: empty; then one app "default" with the key file in the data directory.</summary>
    public IList<NotifyAppOptions> Apps { get; init; } = [];

    /// <summary>Accept 280-byte tokens (MIP-05 as written). Default: true.</summary>
    public bool AcceptMip05Short { get; set; } = true;

    /// <summary>Accept 1084-byte tokens with the <c>mip05-v1</c> tag (MIP-05 as deployed). Default: true.</summary>
    public bool AcceptMip05Long { get; set; } = true;

    /// <summary>Accept <c>marmot-push-v1</c>. Default: true.</summary>
    public bool AcceptMarmotPushV1 { get; set; } = true;

    /// <summary>Listen for ephemeral gift wraps too (NIP-59, kind 21059). Default: false, since Marmot names 1059 only.</summary>
    public bool AcceptEphemeralWraps { get; set; }

    /// <summary>How long a hint is worth delivering; retries end then and the provider is told the same. Default: 3 min, 10 s to 1 h.</summary>
    public TimeSpan HintLifetime { get; set; } = TimeSpan.FromMinutes(3);

    /// <summary>Further hints for the same device inside this window are merged into one push at its end. Default: 2 s, 0 to 1 min; zero turns it
    /// off.</summary>
    public TimeSpan CoalescingWindow { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>How long the hash of a trigger's content is remembered. Default: 5 min, 1 min to 1 h (marmot-push-v1: minutes).</summary>
    public TimeSpan ReplayWindow { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>Remembered triggers. Default: 100,000, at about 100 bytes each.</summary>
    public int ReplayCapacity { get; set; } = 100_000;

    /// <summary>Remembered ids of verified events. Default: 100,000, at about 80 bytes each.</summary>
    public int SeenCapacity { get; set; } = 100_000;

    /// <summary>Budget of elliptic-curve operations a second. Default: 0, which measures the machine at start and takes half of what one core does, times the
    /// cores.</summary>
    public int EcOperationsPerSecond { get; set; }

    /// <summary>Waiting events a relay; more are refused, newest first. Default: 512, 16 to 65,536.</summary>
    public int InboxCapacityPerRelay { get; set; } = 512;

    /// <summary>Largest event taken from a relay in bytes. Default: 262,144; a full marmot-push-v1 trigger is 109,741.</summary>
    public int MaxEventBytes { get; set; } = 262_144;

    /// <summary>Pushes waiting, sleeping before a repeat or under way, for each app and provider. Default: 10,000.</summary>
    public int QueueCapacity { get; set; } = 10_000;

    /// <summary>Requests under way for each app and provider. Default: 100.</summary>
    public int Concurrency { get; set; } = 100;

    /// <summary>Hints a minute for one device, and uses a minute of one encrypted token. Default: 240 (the ceiling FCM documents), burst a tenth.</summary>
    public int DeviceHintsPerMinute { get; set; } = 240;

    /// <summary>Hints an hour for one device. Default: 5,000 (the ceiling FCM documents).</summary>
    public int DeviceHintsPerHour { get; set; } = 5_000;

    /// <summary>Entries kept for devices and as many for encrypted tokens; memory is fixed at 72 bytes for both. Default: 131,072.</summary>
    public int LimiterCapacity { get; set; } = 131_072;

    /// <summary>Longest time one provider request may take. Default: 10 s.</summary>
    public TimeSpan ProviderTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a relay may keep back EOSE before the subscription counts as live. Default: 10 s.</summary>
    public TimeSpan EoseTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>First pause before a reconnect; grows by a quarter each time up to <see cref="ReconnectMax"/>, full jitter. Default: 0.2 s, so that a server
    /// started together with its relay hears it within a second or two.</summary>
    public TimeSpan ReconnectBase { get; set; } = TimeSpan.FromSeconds(0.2);

    /// <summary>Longest pause before a reconnect. Default: 1 min.</summary>
    public TimeSpan ReconnectMax { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>Repeats of a silent push that was sent and never answered: the device may be woken once more for each. Alerts are not repeated then. Default:
    /// 1, 0 to 10.</summary>
    public int RepeatsAfterTimeout { get; set; } = 1;

    /// <summary>Pause between two padding-only triggers to ourselves through each relay, which show that it delivers. Default: 10 min, 1 s to 1 day; zero turns
    /// them off.</summary>
    public TimeSpan CanaryInterval { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>How long such a trigger may take; two lost in a row and the relay counts as deaf and is connected anew. Default: 30 s.</summary>
    public TimeSpan CanaryTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Pause between two looks whether each relay still holds our inbox list (kind 10050); where it was deleted it is published again. Default: 1 min,
    /// 1 s to 1 day.</summary>
    public TimeSpan InboxListInterval { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>Pause between looks at the credential files and the settings file; a change is taken over without a restart, as on SIGHUP. Default: 10 s; zero
    /// leaves SIGHUP alone.</summary>
    public TimeSpan ReloadInterval { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Time for a graceful stop: queued and running pushes are delivered inside it. Default: 10 s.</summary>
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Takes over what may change while the server runs; the rest is for the next start.</summary>
    internal void TakeLimits(NotifyOptions fresh)
    {
        AcceptMip05Short = fresh.AcceptMip05Short;
        AcceptMip05Long = fresh.AcceptMip05Long;
        AcceptMarmotPushV1 = fresh.AcceptMarmotPushV1;
        HintLifetime = fresh.HintLifetime;
        CoalescingWindow = fresh.CoalescingWindow;
        EcOperationsPerSecond = fresh.EcOperationsPerSecond;
        QueueCapacity = fresh.QueueCapacity;
        Concurrency = fresh.Concurrency;
        DeviceHintsPerMinute = fresh.DeviceHintsPerMinute;
        DeviceHintsPerHour = fresh.DeviceHintsPerHour;
        ProviderTimeout = fresh.ProviderTimeout;
        RepeatsAfterTimeout = fresh.RepeatsAfterTimeout;
        CanaryInterval = fresh.CanaryInterval;
        InboxListInterval = fresh.InboxListInterval;
        CanaryTimeout = fresh.CanaryTimeout;
        ReloadInterval = fresh.ReloadInterval;
        DrainTimeout = fresh.DrainTimeout;
    }
}

/// <summary>One app: a Nostr key that clients encrypt to, and the credentials that belong to it.</summary>
public sealed class NotifyAppOptions
{
    internal const int MaxNameLength = 32;

    /// <summary>Name in logs, metrics and health, <c>[a-z0-9-]</c>, up to 32 characters.</summary>
    public string Name { get; set; } = "";

    /// <summary>Nostr key (hex or nsec), mode 0600; made on first run, never overwritten.</summary>
    public string KeyFile { get; set; } = "";

    /// <summary>Former keys that clients may still encrypt to.</summary>
    public IList<string> RetiringKeyFiles { get; init; } = [];

    public ApnsOptions Apns { get; set; } = new();

    public FcmOptions Fcm { get; set; } = new();

    /// <summary>PEM file of a private certificate authority for both endpoints. Default: empty, the system's store.</summary>
    public string CaFile { get; set; } = "";
}

/// <summary>What an APNs push looks like to the user.</summary>
public enum ApnsMode
{
    /// <summary>Background push, priority 5: wakes the app, shows nothing. Apple throttles it to a few an hour.</summary>
    Silent,

    /// <summary>A fixed text, priority 10.</summary>
    Alert,

    /// <summary>A fixed text that a notification extension replaces, priority 10.</summary>
    Mutable,
}

/// <summary>Apple Push Notification service with token authentication.</summary>
public sealed class ApnsOptions
{
    public const string ProductionEndpoint = "https://api.push.apple.com";
    public const string SandboxEndpoint = "https://api.sandbox.push.apple.com";

    /// <summary>Ten characters, from the developer account.</summary>
    public string TeamId { get; set; } = "";

    /// <summary>Ten characters, the name of the key.</summary>
    public string KeyId { get; set; } = "";

    /// <summary>The <c>.p8</c> file, mode 0600.</summary>
    public string KeyFile { get; set; } = "";

    /// <summary>The bundle id.</summary>
    public string Topic { get; set; } = "";

    /// <summary><c>production</c> or <c>sandbox</c>. Default: production.</summary>
    public string Environment { get; set; } = "production";

    /// <summary>Endpoint instead of Apple's, for tests and gateways.</summary>
    public string Endpoint { get; set; } = "";

    /// <summary>Default: Silent.</summary>
    public ApnsMode Mode { get; set; } = ApnsMode.Silent;

    /// <summary>Title of an alert. Default: "New message".</summary>
    public string AlertTitle { get; set; } = "New message";

    /// <summary>Body of an alert. Default: "You may have new messages".</summary>
    public string AlertBody { get; set; } = "You may have new messages";

    /// <summary><c>apns-collapse-id</c>, at most 64 bytes. Default: empty, none.</summary>
    public string CollapseId { get; set; } = "";

    /// <summary>HTTP/2 connections. Default: 2, 1 to 16.</summary>
    public int Connections { get; set; } = 2;

    public bool IsConfigured => KeyFile.Length > 0;
}

/// <summary>Firebase Cloud Messaging, HTTP v1.</summary>
public sealed class FcmOptions
{
    public const string DefaultEndpoint = "https://fcm.googleapis.com";

    /// <summary>The service account's JSON file, mode 0600.</summary>
    public string ServiceAccountFile { get; set; } = "";

    /// <summary>Endpoint instead of Google's. The OAuth endpoint is the <c>token_uri</c> of the file.</summary>
    public string Endpoint { get; set; } = "";

    /// <summary>Project instead of the file's <c>project_id</c>.</summary>
    public string ProjectId { get; set; } = "";

    /// <summary><c>collapse_key</c>. Default: <c>wake</c>.</summary>
    public string CollapseKey { get; set; } = "wake";

    public bool IsConfigured => ServiceAccountFile.Length > 0;
}
