using Marmot.Client.Convergence;
using Marmot.Client.Groups;
using Marmot.Protocol.Encoding;

namespace Marmot.Client.Adopted;

/// <summary>What is stored of a group of the adopted profile beside its states; written in the batch of every step.</summary>
internal sealed record AdoptedRecord
{
    public required string GroupId { get; init; }
    public long JoinedAt { get; init; }
    public ulong JoinEpoch { get; init; }

    /// <summary>The state the group stands in.</summary>
    public Bytes32 Tip { get; set; }

    /// <summary>The pass that collects, or is frozen; null when none is open.</summary>
    public PassRecord? Pass { get; set; }

    /// <summary>Messages stored so far; places of deleted ones stay empty.</summary>
    public int Messages { get; set; }

    /// <summary>The own commit that waits for its OK.</summary>
    public OwnCommit? Pending { get; set; }

    /// <summary>Own commits of the window: in force, reported failed, or lost.</summary>
    public List<OwnCommit> Own { get; init; } = [];

    /// <summary>Changes that wait to be made, the oldest first.</summary>
    public List<AdoptedChange> Queue { get; init; } = [];

    /// <summary>True from the wish to leave until a selected branch lacks the own leaf.</summary>
    public bool IsLeaving { get; set; }

    /// <summary>States in which the wish to leave was uttered.</summary>
    public List<Bytes32> LeftIn { get; init; } = [];

    public bool NeedsSelfUpdate { get; set; }

    /// <summary>The largest date of an event of somebody else that was read, or when this client joined.</summary>
    public long HeardAt { get; set; }

    /// <summary>Accounts that become admins once they are invited.</summary>
    public List<Bytes32> WantedAdmins { get; init; } = [];

    /// <summary>True after the store may have been put back from a copy: nothing is sealed in a state that is not fresh.</summary>
    public bool IsCopy { get; set; }

    /// <summary>When this client saw itself removed, Unix seconds; 0 while it is a member.</summary>
    public long RemovedAt { get; set; }

    /// <summary>Who the group was when its last state went.</summary>
    public GroupState? LastState { get; set; }

    /// <summary>What is left of a group that was ended.</summary>
    public Tombstone? Tombstone { get; set; }
}

/// <summary>A group that an admin has ended for everybody.</summary>
/// <param name="Epoch">The epoch that was never begun.</param>
/// <param name="Actor">Who ended it.</param>
/// <param name="Commit">Digest of the commit.</param>
/// <param name="Members">Who was in it.</param>
internal sealed record Tombstone(ulong Epoch, Bytes32 Actor, Bytes32 Commit, IReadOnlyList<Bytes32> Members);

/// <summary>Where an own commit stands.</summary>
internal enum OwnCommitFate
{
    /// <summary>Published; no relay has answered.</summary>
    Waiting,

    /// <summary>Reported failed. A relay may have it all the same.</summary>
    Failed,

    /// <summary>A relay has taken it: a candidate like any other.</summary>
    Taken,
}

/// <summary>An own commit; the state after it is stored beside, until it has its OK or comes back.</summary>
/// <param name="Entry">The state after it.</param>
/// <param name="EventId">The event that carries it.</param>
/// <param name="EventJson">The event.</param>
/// <param name="CreatedAt">Its date.</param>
/// <param name="Relays">Relays of the state it was made in.</param>
internal sealed record OwnCommit(SnapshotEntry Entry, Bytes32 EventId, string EventJson, long CreatedAt, List<string> Relays)
{
    public OwnCommitFate Fate { get; set; }

    /// <summary>What it was made for; null for self-updates and the leaves of others, which are not made anew.</summary>
    public AdoptedChange? Change { get; init; }

    /// <summary>The Welcome it made, MLSMessage; null when it adds nobody or the Welcomes are under way.</summary>
    public byte[]? Welcome { get; set; }

    /// <summary>True once it lost and its change was queued again.</summary>
    public bool IsMadeAnew { get; set; }
}

/// <summary>An application message as kept.</summary>
internal sealed record AdoptedMessage(string RumorJson, Bytes32 RumorId, Bytes32 State, ulong Epoch, Bytes32 EventId, bool IsOwn, int SenderLeaf)
{
    /// <summary>True while its state is on the selected branch.</summary>
    public bool IsShown { get; init; }

    /// <summary>True when it was shown and its branch lost.</summary>
    public bool IsWithdrawn { get; init; }

    /// <summary>Unix seconds when it must be gone; null for never.</summary>
    public ulong? DueAt { get; init; }

    /// <summary>True when it has an attachment.</summary>
    public bool HasMedia { get; init; }
}

/// <summary>An event that no key opens yet.</summary>
internal sealed record DeferredEvent(string EventJson, long At, int Tries);

/// <summary>A commit that refers to a proposal that has not come.</summary>
internal sealed record ParkedCommit(Bytes32 State, byte[] Message);

/// <summary>A change of a group as it is wanted: kept until it is true, made anew when its commit loses.</summary>
internal sealed record AdoptedChange
{
    public string? Name { get; init; }
    public string? Description { get; init; }
    public List<string>? Relays { get; init; }
    public Bytes32? NostrGroupId { get; init; }
    public List<Bytes32>? Admins { get; init; }
    public ulong? RetentionSeconds { get; init; }

    /// <summary>The body of component 0x8007.</summary>
    public byte[]? Avatar { get; init; }

    /// <summary>The body of component 0x8002.</summary>
    public byte[]? Picture { get; init; }

    /// <summary>Accounts to add, with their key packages.</summary>
    public List<AdoptedInvitee> Add { get; init; } = [];

    /// <summary>Accounts to remove, with all their leaves.</summary>
    public List<Bytes32> Remove { get; init; } = [];

    /// <summary>Ends the group for everybody.</summary>
    public bool Disband { get; init; }

    /// <summary>A change as the client's callers name it.</summary>
    public static AdoptedChange Of(GroupChange change) => new()
    {
        Name = change.Name,
        Description = change.Description,
        Admins = change.Admins is null ? null : [.. change.Admins],
        Relays = change.Relays is null ? null : [.. change.Relays],
        NostrGroupId = change.NostrGroupId,
        RetentionSeconds = change.DisappearingSeconds,
    };
}

/// <summary>Somebody to add.</summary>
/// <param name="Account">The account.</param>
/// <param name="KeyPackage">The bare key package.</param>
/// <param name="EventId">The event that carries it.</param>
internal sealed record AdoptedInvitee(Bytes32 Account, byte[] KeyPackage, Bytes32 EventId);
