using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Client.Groups;

/// <summary>What became of a received group event.</summary>
public enum GroupOutcome
{
    /// <summary>A message was read.</summary>
    Message,

    /// <summary>A proposal waits for a commit.</summary>
    Proposal,

    /// <summary>A commit was merged; the epoch is over.</summary>
    Commit,

    /// <summary>An own commit was found on a relay and merged.</summary>
    OwnCommit,

    /// <summary>A better commit came late: the epoch was taken back and the better one merged.</summary>
    RolledBack,

    /// <summary>A commit that lost against the one merged.</summary>
    LostRace,

    /// <summary>This client was removed.</summary>
    Removed,

    /// <summary>Kept for later: a key or a proposal is missing.</summary>
    Parked,

    /// <summary>Broke a rule and changed nothing.</summary>
    Refused,

    /// <summary>Too old: its epoch's keys are gone.</summary>
    Stale,
}

/// <summary>One event and what became of it; duplicates are not reported.</summary>
/// <param name="EventId">The event.</param>
/// <param name="Outcome">What became of it.</param>
/// <param name="Reason">The rule, for refusals; never content.</param>
public sealed record GroupIncident(Bytes32 EventId, GroupOutcome Outcome, string Reason = "");

/// <summary>A message of a group, checked: its author is the MLS sender, its id is its hash, it carries no signature.</summary>
/// <param name="GroupId">MLS group id, hex.</param>
/// <param name="Rumor">The inner event.</param>
/// <param name="Epoch">The epoch it was sent in.</param>
/// <param name="EventId">The group event that carried it.</param>
/// <param name="IsOwn">True for what this client sent.</param>
/// <param name="SenderLeaf">The sender's leaf index in that epoch.</param>
public sealed record GroupMessage(string GroupId, Rumor Rumor, ulong Epoch, Bytes32 EventId, bool IsOwn, int SenderLeaf);

/// <summary>What one look at the relays brought.</summary>
public sealed class GroupReport
{
    /// <summary>New events, in the order they took effect.</summary>
    public IList<GroupIncident> Incidents { get; } = [];

    /// <summary>New messages of others.</summary>
    public IList<GroupMessage> Messages { get; } = [];

    /// <summary>
    /// Messages shown before, own ones too, whose branch lost (adopted profile): nobody on the selected branch can read them. They are in <see
    /// cref="Messages"/> again when it returns.
    /// </summary>
    public IList<GroupMessage> Withdrawn { get; } = [];

    /// <summary>Own messages that a rollback made unreadable and that were sealed anew.</summary>
    public int Resent { get; set; }

    /// <summary>Relays that could not be asked to the end, with the reason.</summary>
    public IList<string> Unreachable { get; } = [];

    /// <summary>Counts an outcome.</summary>
    public int Count(GroupOutcome outcome) => Incidents.Count(incident => incident.Outcome == outcome);
}
