using Marmot.Protocol.Encoding;

namespace Marmot.Client;

/// <summary>What shall change about a group; null leaves a field as it is.</summary>
public sealed record GroupChange
{
    /// <summary>The name.</summary>
    public string? Name { get; init; }

    /// <summary>The description.</summary>
    public string? Description { get; init; }

    /// <summary>The whole new list of admins.</summary>
    public IReadOnlyList<Bytes32>? Admins { get; init; }

    /// <summary>The whole new list of relays.</summary>
    public IReadOnlyList<string>? Relays { get; init; }

    /// <summary>A new public routing id.</summary>
    public Bytes32? NostrGroupId { get; init; }

    /// <summary>Seconds after which messages disappear; 0 turns it off. Deployed clients cannot read a group that has it.</summary>
    public ulong? DisappearingSeconds { get; init; }
}
