namespace Marmot.Hosting.Moderating;

/// <summary>What the operator decided while the servers ran; never changed in place. The same for all roles of a process, and for all replicas. Values are
/// reasons.</summary>
public sealed record ModerationState
{
    /// <summary>Keys (hex) that may neither publish nor upload.</summary>
    public Dictionary<string, string> BannedKeys { get; init; } = [];

    /// <summary>Keys (hex) that count as if they stood in every allow list, where there is one.</summary>
    public Dictionary<string, string> AllowedKeys { get; init; } = [];

    /// <summary>NIP-05 names (<c>alice@example.org</c>) and domains (<c>example.org</c>) whose keys count as allowed.</summary>
    public Dictionary<string, string> AllowedNames { get; init; } = [];

    /// <summary>Ids (hex) of events that are not taken.</summary>
    public Dictionary<string, string> BannedEvents { get; init; } = [];

    /// <summary>SHA-256 (hex) of blobs that are neither taken nor served.</summary>
    public Dictionary<string, string> BannedBlobs { get; init; } = [];

    /// <summary>IP addresses that are not served.</summary>
    public Dictionary<string, string> BlockedAddresses { get; init; } = [];

    /// <summary>Kinds taken although <c>Relay:Kinds</c> would not.</summary>
    public SortedSet<int> AllowedKinds { get; init; } = [];

    /// <summary>Kinds not taken.</summary>
    public SortedSet<int> DisallowedKinds { get; init; } = [];

    /// <summary>Name in place of <c>Relay:Name</c>.</summary>
    public string? Name { get; init; }

    /// <summary>Description in place of <c>Relay:Description</c>.</summary>
    public string? Description { get; init; }

    /// <summary>Icon of the relay (NIP-11).</summary>
    public string? Icon { get; init; }

    /// <summary>The last decisions, oldest first, at most <see cref="Decisions.MaxTrail"/>.</summary>
    public IReadOnlyList<Decision> Trail { get; init; } = [];

    /// <summary>Counts the replacements of the file; a database counts by itself.</summary>
    public long Version { get; init; }

    /// <summary>Number of the last decision; 0 before the first.</summary>
    internal long LastNumber => Trail.Count == 0 ? 0 : Trail[^1].Number;
}

/// <summary>One line of the audit trail.</summary>
/// <param name="Number">Counted from 1.</param>
/// <param name="At">Unix seconds.</param>
/// <param name="By">Who decided: an npub, or <c>command line</c>.</param>
/// <param name="Action">What: <see cref="DecisionActions"/>, or a method of NIP-86.</param>
/// <param name="Target">About whom or what.</param>
/// <param name="Reason">The operator's words; may be empty.</param>
public sealed record Decision(long Number, long At, string By, string Action, string Target, string Reason);
