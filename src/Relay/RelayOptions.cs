using System.ComponentModel.DataAnnotations;
using Marmot.Protocol.Encoding;

namespace Marmot.Relay;

/// <summary>Which kinds the relay takes.</summary>
public enum RelayKinds
{
    /// <summary>Everything but what may only exist encrypted.</summary>
    All,

    /// <summary>Only what Marmot, profiles and relay lists need.</summary>
    Marmot,
}

/// <summary>Who may read gift wraps (kind 1059).</summary>
public enum GiftWrapAccessMode
{
    /// <summary>Only a connection authenticated as the key in the <c>p</c> tag (NIP-42, NIP-59).</summary>
    RecipientOnly,

    /// <summary>Anybody, as relays without NIP-42 do.</summary>
    Open,
}

/// <summary>What the relay compresses for clients that agree on permessage-deflate (RFC 7692).</summary>
public enum RelayCompression
{
    /// <summary>The extension is not agreed on.</summary>
    Off,

    /// <summary>Live events that go to several subscribers, each once for all of them; and what clients send may be compressed.</summary>
    Live,

    /// <summary>Live events, stored events and reconciliations, for relays that pay for what they send.</summary>
    All,
}

/// <summary>Settings of the relay. Every default is in docs/defaults.md with its reason.</summary>
public sealed class RelayOptions
{
    public const string Section = "Relay";

    /// <summary>Longest message, bytes. Default 512 KiB: a Welcome into a group of 150 is a wrap of 107 KiB, and push triggers grow alike.</summary>
    [Range(16 * 1024, 16 * 1024 * 1024)]
    public int MaxMessageBytes { get; set; } = 512 * 1024;

    /// <summary>Open subscriptions of one connection. Default 300: a client has one a group and a few of its own.</summary>
    [Range(1, 10_000)]
    public int MaxSubscriptions { get; set; } = 300;

    /// <summary>Filters in one REQ or COUNT. Default 20.</summary>
    [Range(1, 200)]
    public int MaxFilters { get; set; } = 20;

    /// <summary>Values in one list of a filter. Default 1,000.</summary>
    [Range(1, 10_000)]
    public int MaxFilterValues { get; set; } = 1000;

    /// <summary>Bytes of memory the filters of one connection's open subscriptions may take. Default 4 MiB: 12,000 values.</summary>
    [Range(64 * 1024, 1 << 30)]
    public int MaxFilterBytes { get; set; } = 4 * 1024 * 1024;

    /// <summary>Bytes of memory the filters of all open subscriptions may take; one address has at most a quarter of what is free of them. Default 512
    /// MiB.</summary>
    [Range(1024 * 1024, 1L << 40)]
    public long MaxFilterBytesTogether { get; set; } = 512L * 1024 * 1024;

    /// <summary>Stored events a filter returns at most, also when it names no limit; one that names none gets the rest of the oldest second too, up to as
    /// many again (NIP-67). Default 5,000.</summary>
    [Range(1, 100_000)]
    public int MaxLimit { get; set; } = 5000;

    /// <summary>Index entries one filter may make the relay look at, matching or not. Default 500,000: about half a second of one core.</summary>
    [Range(1000, int.MaxValue)]
    public int MaxQueryWork { get; set; } = 500_000;

    /// <summary>Answer searches (NIP-50) in public text: profiles, notes, threads, comments and articles. Default false: each may read 50,000 events.</summary>
    public bool Search { get; set; }

    /// <summary>Events in one reconciliation (NIP-77). Default 500,000, at 40 bytes each while it is open; four such snapshots fit into memory
    /// together.</summary>
    [Range(1000, 10_000_000)]
    public int MaxSyncEvents { get; set; } = 500_000;

    /// <summary>Tags of one event. Default 4,000: contact lists reach 3,000.</summary>
    [Range(1, 100_000)]
    public int MaxTags { get; set; } = 4000;

    /// <summary>How far ahead of the relay's clock <c>created_at</c> may be. Default 15 minutes.</summary>
    public TimeSpan MaxFuture { get; set; } = TimeSpan.FromMinutes(15);

    /// <summary>
    /// How far from the relay's clock, either way, a live kind 445 may be dated; zero turns the rule off. Default 0: clients of the adopted profile date it by
    /// the message inside, so what waited offline arrives old. For relays whose users are all on the MIP profile, where commits race by <c>created_at</c> and
    /// a backdated one would win; then at least a few minutes. Import, <c>relay sync</c> and the operator's keys (<see cref="Admins"/>,
    /// <see cref="PublicKey"/>) are excepted.
    /// </summary>
    public TimeSpan GroupEventClockSkew { get; set; } = TimeSpan.Zero;

    /// <summary>Kinds taken: <c>All</c>, or <c>Marmot</c> for only what Marmot, profiles and relay lists need. Default <c>All</c>; what may only exist
    /// encrypted is refused either way.</summary>
    public RelayKinds Kinds { get; set; } = RelayKinds.All;

    /// <summary>Who may read kind 1059: <c>RecipientOnly</c> (authenticated as its <c>p</c> tag, NIP-42) or <c>Open</c>. Default
    /// <c>RecipientOnly</c>.</summary>
    public GiftWrapAccessMode GiftWraps { get; set; } = GiftWrapAccessMode.RecipientOnly;

    /// <summary>
    /// How long a REQ, COUNT, NEG-OPEN or EVENT that needs authentication (NIP-42) waits for it before it is refused with <c>auth-required:</c>.
    /// Default 1 s: two turns over a slow mobile network and a signature; a client that cannot sign learns it soon enough. Up to 10 s; zero refuses at once.
    /// </summary>
    public TimeSpan AuthWait { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Send the challenge (NIP-42) when a client connects, not only when a request needs it. Default false: clients answer a challenge unasked, and who
    /// publishes group events under one-time keys would so say which account sends them.
    /// </summary>
    public bool AuthOnConnect { get; set; }

    /// <summary>Leading zero bits an id needs (NIP-13). Default 0: none.</summary>
    [Range(0, 64)]
    public int MinProofOfWork { get; set; }

    /// <summary>Bytes that may wait for one slow reader before it is dropped. Default 8 MiB.</summary>
    [Range(64 * 1024, 1 << 30)]
    public int MaxOutboxBytes { get; set; } = 8 * 1024 * 1024;

    /// <summary>Bytes that may wait for all slow readers together; beyond it each may leave only 256 KiB waiting. Default 256 MiB.</summary>
    [Range(1024 * 1024, 1L << 40)]
    public long MaxOutboxBytesTogether { get; set; } = 256L * 1024 * 1024;

    /// <summary>How long one write to a connection may take. Default 30 s.</summary>
    public TimeSpan WriteTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a message may take from its first byte to its last. Default 60 s: the longest one at 9 KB a second.</summary>
    public TimeSpan MessageTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>Bytes of messages that are not whole or not read yet, over all connections; one address has at most a quarter of what is free of them. Default
    /// 256 MiB.</summary>
    [Range(16 * 1024 * 1024, 1L << 40)]
    public long MaxInputBytesTogether { get; set; } = 256L * 1024 * 1024;

    /// <summary>Silence after which the relay pings; a second such silence closes. Default 60 s.</summary>
    public TimeSpan PingInterval { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// What is compressed for clients that agree on permessage-deflate: <c>Off</c>, <c>Live</c> (live events of several subscribers, once for
    /// all) or <c>All</c> (stored events and reconciliations too: about 13 us of CPU an event of 1 KB for a quarter of its bytes). Default <c>Live</c>.
    /// </summary>
    public RelayCompression Compression { get; set; } = RelayCompression.Live;

    /// <summary>
    /// Connections at one time. Default 20,000. One address has at most a quarter of the places that are free (8 at least), and as many as are free for
    /// connections that proved a key which has written here (NIP-42).
    /// </summary>
    [Range(1, 1_000_000)]
    public int MaxConnections { get; set; } = 20_000;

    /// <summary>Events a connection may publish a second, over a burst of ten seconds. Default 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int MaxEventsPerSecond { get; set; }

    /// <summary>
    /// Work a second for one address prefix (IPv4 /32, IPv6 /56), over a burst of five seconds: a unit is about a microsecond of one core, an
    /// event of 1 KB is 100, a query at least 50. Default 200,000: 2,000 such events a second. An address that has used it up is refused,
    /// read from slowly, and pays ten times for what it still sends; its new connections are answered 429 after a second. 0 = no limit.
    /// </summary>
    [Range(0, int.MaxValue)]
    public int WorkPerAddress { get; set; } = 200_000;

    /// <summary>Work a second stored for one group (<c>h</c> of kind 445) or recipient (<c>p</c> of gift wraps), as above. Default 400,000: more than one
    /// address has. When it is spent, an address still has a hundredth of it there for itself. 0 = no limit.</summary>
    [Range(0, int.MaxValue)]
    public int WorkPerTarget { get; set; } = 400_000;

    /// <summary>Count loopback callers too. Default false: a loopback caller is the reverse proxy, and all its users would share one budget.</summary>
    public bool LimitLoopback { get; set; }

    /// <summary>Days each kind is kept, by kind number; kinds not named are kept for ever. Default none.</summary>
    public Dictionary<string, int> RetentionDays { get; set; } = [];

    /// <summary>Public keys (npub or hex) that may write, authenticated by NIP-42. Default empty: everybody.</summary>
    public string[] WriteAllowList { get; set => field = [.. value.Select(ToHex)]; } = [];

    /// <summary>A program that is asked about each event, one JSON line in and out, as strfry's write-policy plugins are. Default empty: none.</summary>
    public string WritePolicyProgram { get; set; } = "";

    /// <summary>Tell that program the sender's address. Default false: it gets an empty <c>sourceInfo</c>.</summary>
    public bool WritePolicyAddresses { get; set; }

    /// <summary>Public keys (npub or hex) that may manage the relay while it runs (NIP-86, authorised by NIP-98). Default empty: nobody.</summary>
    public string[] Admins { get; set => field = [.. value.Select(ToHex)]; } = [];

    /// <summary>NIP-11 name.</summary>
    public string Name { get; set; } = "marmot-server";

    /// <summary>NIP-11 description.</summary>
    public string Description { get; set; } = "A Nostr relay for Marmot groups.";

    /// <summary>NIP-11 public key of the operator, npub or hex.</summary>
    public string PublicKey { get; set => field = ToHex(value); } = "";

    /// <summary>NIP-11 contact.</summary>
    public string Contact { get; set; } = "";

    // The rest of the relay knows one form. What is no key is reported as it was written.
    private static string ToHex(string text) => Nip19.TryDecodePublicKey(text, out var key) ? key.ToString() : text;
}
