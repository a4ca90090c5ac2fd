using Marmot.Protocol.Encoding;

namespace Marmot.Client.Groups;

/// <summary>A member's place in the tree.</summary>
/// <param name="Index">Leaf index.</param>
/// <param name="PublicKey">The account.</param>
public sealed record GroupLeaf(int Index, Bytes32 PublicKey);

/// <summary>A group at one moment, for showing and for comparing between members.</summary>
public sealed record GroupState
{
    /// <summary>MLS group id, hex; secret outside the group.</summary>
    public required string GroupId { get; init; }

    /// <summary>The generation of Marmot the group is of.</summary>
    public Profiles.MarmotProfile Profile { get; init; } = Profiles.MarmotProfile.Mip;

    /// <summary>The public routing id.</summary>
    public required Bytes32 NostrGroupId { get; init; }

    /// <summary>The current epoch.</summary>
    public required ulong Epoch { get; init; }

    /// <summary>The members by leaf index; an account may have several leaves.</summary>
    public required IReadOnlyList<GroupLeaf> Leaves { get; init; }

    /// <summary>This client's leaf index.</summary>
    public required int OwnLeaf { get; init; }

    /// <summary>False once this client was removed.</summary>
    public required bool IsActive { get; init; }

    /// <summary>The group's name.</summary>
    public required string Name { get; init; }

    /// <summary>The group's description.</summary>
    public required string Description { get; init; }

    /// <summary>Admins, sorted; only those who are members count.</summary>
    public required IReadOnlyList<Bytes32> Admins { get; init; }

    /// <summary>The group's relays.</summary>
    public required IReadOnlyList<string> Relays { get; init; }

    /// <summary>Proposals that wait for a commit.</summary>
    public required int PendingProposals { get; init; }

    /// <summary>MLS-Exporter("interop-check", "epoch", 16), hex: equal for all who agree; empty when not active.</summary>
    public required string Check { get; init; }

    /// <summary>epoch_authenticator, hex (RFC 9420, 8.7).</summary>
    public required string EpochAuthenticator { get; init; }

    /// <summary>Tree hash, hex.</summary>
    public required string TreeHash { get; init; }

    /// <summary>confirmed_transcript_hash, hex.</summary>
    public required string ConfirmedTranscriptHash { get; init; }

    /// <summary>The state's convergence commitment (adopted profile): two members with the same one agree on everything; null in other groups.</summary>
    public Bytes32? ConvergenceCommitment { get; init; }

    /// <summary>Seconds after which messages disappear; null for off.</summary>
    public ulong? DisappearingSeconds { get; init; }

    /// <summary>True when the group has a picture.</summary>
    public bool HasImage { get; init; }

    /// <summary>True when this client joined and has not renewed its keys yet (MIP-02: within a day).</summary>
    public bool NeedsSelfUpdate { get; init; }

    /// <summary>True when the store may be a copy that was put back: the next step that sends renews the group's keys first.</summary>
    public bool NeedsFreshKeys { get; init; }

    /// <summary>
    /// True when events come that are newer than all that was read and that no key here opens: the group has gone on without this client, as it does for one
    /// who was cut off for more than five epochs and committed alone. Ask an admin to remove and invite this account again. Strangers who write garbage under
    /// the group's public id raise it too.
    /// </summary>
    public bool NeedsInvitation { get; init; }

    /// <summary>The accounts, sorted, one a leaf.</summary>
    public IReadOnlyList<Bytes32> Members => [.. Leaves.Select(leaf => leaf.PublicKey).Order()];
}
