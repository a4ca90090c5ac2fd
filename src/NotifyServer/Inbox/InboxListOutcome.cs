using Marmot.Protocol.Events;

namespace Marmot.NotifyServer.Inbox;

/// <summary>What was found or done about our inbox list (kind 10050) on a relay.</summary>
internal enum InboxListState
{
    /// <summary>It was published, and the relay took it.</summary>
    Published,

    /// <summary>The relay has it.</summary>
    Present,

    /// <summary>The relay does not say what it has.</summary>
    NoAnswer,

    /// <summary>The relay does not take it.</summary>
    Refused,
}

/// <summary>One look at the inbox list on a relay.</summary>
/// <param name="State">What was found or done.</param>
/// <param name="Prefix">Why it was refused.</param>
internal readonly record struct InboxListOutcome(InboxListState State, RejectPrefix Prefix = RejectPrefix.None);

/// <summary>What happens on a relay beside the states of its connection.</summary>
internal enum RelayChange
{
    /// <summary>Stored events did not end; the subscription is taken as live.</summary>
    EoseMissing,

    /// <summary>Its information document was read (NIP-11).</summary>
    LimitsRead,
}
