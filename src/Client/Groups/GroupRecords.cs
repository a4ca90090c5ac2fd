using Marmot.Client.Profiles;
using Marmot.Protocol.Encoding;

namespace Marmot.Client.Groups;

/// <summary>What is stored of a group beside its MLS state; every change is written in the same batch as that state.</summary>
internal sealed record GroupRecord
{
    public required string GroupId { get; init; }
    public MarmotProfile Profile { get; init; } = MarmotProfile.Mip;

    /// <summary>Public routing ids, the current one first; older ones are still listened to for a while.</summary>
    public List<Bytes32> RoutingIds { get; init; } = [];
    public long JoinedAt { get; init; }
    public ulong JoinEpoch { get; init; }

    /// <summary>True once anything of another member was read: this branch lives.</summary>
    public bool HasHeard { get; set; }

    /// <summary>Other Welcomes into <see cref="JoinEpoch"/> that are kept.</summary>
    public int OtherBranches { get; set; }

    /// <summary>The newest epoch in which another member was heard.</summary>
    public ulong HeardEpoch { get; set; }

    /// <summary>Largest created_at of another member's event that was read, or when we joined.</summary>
    public long HeardAt { get; set; }

    /// <summary>Largest created_at used for an own event, and how many application messages share it.</summary>
    public long LastCreatedAt { get; set; }

    /// <summary>created_at of the commit that began this epoch, and the largest of the proposals that wait in it: whoever made them, own events come
    /// later.</summary>
    public long EpochBeganAt { get; set; }
    public long ProposalsAt { get; set; }
    public int SharingLast { get; set; }
    public int Messages { get; set; }

    /// <summary>How many of the oldest messages lie in pages.</summary>
    public int PagedMessages { get; set; }

    /// <summary>Where push gossip lies among the messages, oldest first.</summary>
    public List<GossipPlace> Gossip { get; init; } = [];
    public bool IsActive { get; set; } = true;
    public bool NeedsSelfUpdate { get; set; }

    /// <summary>True while ratchets of the current epoch may have been used further than the store knows: after a copy of the store was put back.</summary>
    public bool NeedsFreshKeys { get; set; }
    public bool WantsToLeave { get; set; }
    public PendingCommit? Pending { get; set; }
    public List<MergedCommit> Merged { get; init; } = [];

    /// <summary>Own commits that every relay refused; their states are kept for some epochs.</summary>
    public List<PendingCommit> Abandoned { get; init; } = [];

    /// <summary>Relays the group had before it moved: whoever has not heard of it yet still writes there.</summary>
    public List<FormerRelay> FormerRelays { get; init; } = [];

    /// <summary>Per relay: our clock when it last gave everything it had, Unix seconds.</summary>
    public Dictionary<string, long> CaughtUp { get; init; } = [];

    /// <summary>Who the group was when this client was removed.</summary>
    public GroupState? LastState { get; set; }
}

/// <summary>Another Welcome into the same epoch of a group: whichever branch is heard of first is the group's.</summary>
internal sealed record OtherBranch(byte[] State, long WelcomedAt);

/// <summary>A relay the group has left.</summary>
internal sealed record FormerRelay(string Url, ulong LeftInEpoch, long LeftAt);

/// <summary>An own commit that is not in force: published, or about to be.</summary>
internal sealed record PendingCommit(ulong Epoch, Bytes32 EventId, long CreatedAt, string EventJson, Bytes32 MessageHash, List<Invitee> Invitees);

/// <summary>Somebody a commit adds, and what his Welcome needs.</summary>
internal sealed record Invitee(Bytes32 PublicKey, Bytes32 KeyPackageEventId);

/// <summary>The commit that ended an epoch: what a rival must beat.</summary>
internal sealed record MergedCommit(ulong Epoch, Bytes32 EventId, long CreatedAt, Bytes32 MessageHash, long MergedAt, bool IsOwn);

/// <summary>An event that could not be used yet.</summary>
internal sealed record ParkedEvent(string EventJson, long CreatedAt, long ParkedAt, ulong ParkedInEpoch);

/// <summary>A message of push gossip: its place among the messages, and its time.</summary>
internal sealed record GossipPlace(int Index, long At);

/// <summary>An application message as kept.</summary>
internal sealed record StoredMessage(string RumorJson, ulong Epoch, Bytes32 EventId, bool IsOwn, int SenderLeaf, byte[]? MediaSecret);

/// <summary>An event that must still reach a relay.</summary>
internal sealed record OutboxEntry(string EventJson, int Kind, long CreatedAt, List<string> Relays, string? GroupId, ulong Epoch, int? Message)
{
    /// <summary>Welcomes name the reader, so that his inbox relays can be found when it is sent.</summary>
    public Bytes32? Recipient { get; init; }

    /// <summary>True for an event of the adopted profile: its date is that of the message inside, however late it goes out.</summary>
    public bool KeepsDate { get; init; }

    /// <summary>True for a message that must be sealed anew before it can be sent.</summary>
    public bool MustSeal { get; init; }

    /// <summary>When a relay said OK, Unix seconds; 0 before. Kept until the event was seen on a relay.</summary>
    public long AckedAt { get; init; }
}
