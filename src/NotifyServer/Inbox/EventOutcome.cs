namespace Marmot.NotifyServer.Inbox;

/// <summary>What became of an event from a relay.</summary>
internal enum EventOutcome
{
    /// <summary>The gate let it through, and a worker will do it.</summary>
    Queued,

    /// <summary>The relay's queue is full.</summary>
    InboxFull,

    /// <summary>A stored event: whoever it was for has seen the message since.</summary>
    Backlog,

    TooLarge,
    OtherKind,

    /// <summary>Not exactly one recipient that is ours.</summary>
    OtherRecipient,

    NotNip44,

    /// <summary>The same event came before, from whichever relay.</summary>
    Seen,

    BadId,
    Malformed,
    BadSignature,
    NotOpenable,
    NotATrigger,

    /// <summary>Our own trigger.</summary>
    Canary,

    /// <summary>A dialect that the operator switched off.</summary>
    DialectOff,

    /// <summary>The same content was done before, here or by another replica.</summary>
    Duplicate,

    /// <summary>No room for another claim; the trigger may be sent again.</summary>
    ClaimsFull,

    /// <summary>No room in a lane for all its pushes; the trigger may be sent again.</summary>
    QueueFull,

    /// <summary>All its way.</summary>
    Done,
}
