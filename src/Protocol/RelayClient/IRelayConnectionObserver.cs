using Marmot.Protocol.Events;

namespace Marmot.Protocol.RelayClient;

/// <summary>Where the standing subscription is.</summary>
public enum RelayState
{
    /// <summary>No socket; the next try is waiting or under way.</summary>
    Disconnected,

    /// <summary>Socket open, nothing subscribed or the REQ not yet answered.</summary>
    Pending,

    /// <summary>EOSE seen or its time over: events are new ones.</summary>
    Live,

    /// <summary>The relay wants authentication, which is under way.</summary>
    Authenticating,

    /// <summary>The relay refused authentication; it is tried again after a long pause.</summary>
    AuthRefused,

    /// <summary>The relay closed the subscription for now; it is tried again.</summary>
    Closed,

    /// <summary>The relay refused the subscription as such; it is tried again after a long pause.</summary>
    Refused,
}

/// <summary>Hears what happens on a connection. All calls come from the connection's own loops, must return soon and must not throw.</summary>
public interface IRelayConnectionObserver
{
    /// <summary>An event of the standing subscription; its shape is checked, id and signature are not. The view is valid during the call only.</summary>
    /// <param name="evt">The event.</param>
    /// <param name="live">False before EOSE: stored events.</param>
    void OnEvent(in NostrEventView evt, bool live);

    /// <summary>The subscription changed its state.</summary>
    void OnState(RelayState state);

    /// <summary>The relay closed the subscription.</summary>
    /// <param name="prefix">Why; never the relay's own text.</param>
    /// <param name="pause">Time until the next REQ.</param>
    void OnClosed(RejectPrefix prefix, TimeSpan pause);

    /// <summary>The answer to an authentication.</summary>
    void OnAuth(bool accepted);

    /// <summary>EOSE stayed away; the subscription counts as live.</summary>
    void OnEoseMissing();

    /// <summary>Connected, or authenticated: the time to publish what must stand on the relay.</summary>
    void OnReady();
}

/// <summary>A relay's answer to a published event.</summary>
/// <param name="Accepted">OK true.</param>
/// <param name="Prefix">Why not; also that no answer came.</param>
/// <param name="Text">The relay's own words: for the one who published, not for metrics and logs.</param>
public readonly record struct PublishResult(bool Accepted, RejectPrefix Prefix, string Text = "")
{
    /// <summary>No OK in time: the relay may have the event or not.</summary>
    public static PublishResult TimedOut { get; } = new(false, RejectPrefix.Timeout);

    /// <summary>No connection, or it ended before the OK: the relay may have the event or not.</summary>
    public static PublishResult Disconnected { get; } = new(false, RejectPrefix.Disconnected);
}
