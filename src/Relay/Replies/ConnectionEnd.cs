namespace Marmot.Relay.Replies;

/// <summary>Why a connection ended. Text and close code of each: <see cref="ConnectionEnds"/>.</summary>
internal enum ConnectionEnd
{
    /// <summary>It has not ended.</summary>
    None,

    /// <summary>The client closed it.</summary>
    Closed,

    /// <summary>The connection broke, or the client did not answer a ping.</summary>
    WentAway,

    /// <summary>The client does not take its answers in time.</summary>
    ReadsTooSlowly,

    /// <summary>The relay stops.</summary>
    ShuttingDown,

    /// <summary>The operator blocked its address.</summary>
    Blocked,

    /// <summary>RFC 6455: a frame that the protocol does not allow.</summary>
    BrokeProtocol,

    /// <summary>Nostr messages are text.</summary>
    SentBinary,

    /// <summary>RFC 6455, 8.1: text that is not UTF-8.</summary>
    NotUtf8,

    /// <summary>RFC 7692: data that cannot be inflated.</summary>
    BrokenDeflate,

    /// <summary>Longer than <see cref="Frames.OversizedMessage.MaxBytes"/>.</summary>
    MessageTooLarge,

    /// <summary>A message took longer than <see cref="RelayOptions.MessageTimeout"/> to arrive.</summary>
    MessageTooSlow,

    /// <summary>Its address holds too many bytes of messages that are not whole.</summary>
    HeldTooMuchInput,

    /// <summary>Its address is over its budget by the live events it was sent.</summary>
    ListensToTooMuch,
}

/// <summary>The text of each end for the log, and the close code that the client gets (RFC 6455, 7.4.1).</summary>
internal static class ConnectionEnds
{
    public static string Label(this ConnectionEnd end) => end switch
    {
        ConnectionEnd.None or ConnectionEnd.Closed => "closed",
        ConnectionEnd.WentAway => "went away",
        ConnectionEnd.ReadsTooSlowly => "reads too slowly",
        ConnectionEnd.ShuttingDown => "shutting down",
        ConnectionEnd.Blocked => "blocked",
        ConnectionEnd.BrokeProtocol => "broke the WebSocket protocol",
        ConnectionEnd.SentBinary => "sent binary data",
        ConnectionEnd.NotUtf8 => "sent text that is not UTF-8",
        ConnectionEnd.BrokenDeflate => "sent broken DEFLATE data",
        ConnectionEnd.MessageTooLarge => "message too large",
        ConnectionEnd.MessageTooSlow => "sent a message too slowly",
        ConnectionEnd.HeldTooMuchInput => "held too much input",
        ConnectionEnd.ListensToTooMuch => "listens to too much",
        _ => throw new ArgumentOutOfRangeException(nameof(end)),
    };

    /// <summary>0 where no close frame is sent.</summary>
    public static ushort CloseCode(this ConnectionEnd end) => end switch
    {
        ConnectionEnd.Closed => 1000,
        ConnectionEnd.ShuttingDown => 1001,
        ConnectionEnd.BrokeProtocol => 1002,
        ConnectionEnd.SentBinary => 1003,
        ConnectionEnd.NotUtf8 or ConnectionEnd.BrokenDeflate => 1007,
        ConnectionEnd.MessageTooSlow or ConnectionEnd.HeldTooMuchInput or ConnectionEnd.ListensToTooMuch => 1008,
        ConnectionEnd.MessageTooLarge => 1009,
        _ => 0,
    };

    /// <summary>True when nobody is there to take a close frame, or what is queued before it.</summary>
    public static bool IsUnread(this ConnectionEnd end) => end is ConnectionEnd.WentAway or ConnectionEnd.ReadsTooSlowly;

    /// <summary>True when the client broke a rule, which counts against its address's budget.</summary>
    public static bool IsViolation(this ConnectionEnd end) => end.CloseCode() > 1001;
}
