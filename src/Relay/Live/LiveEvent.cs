using Marmot.Relay.Frames;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Live;

/// <summary>An accepted event on its way to subscribers; its bytes are shared by all of them.</summary>
/// <param name="Record">The event.</param>
/// <param name="Arrival">Arrival number in the store; 0 for an ephemeral event.</param>
internal sealed record LiveEvent(EventRecord Record, ulong Arrival)
{
    private const int WorthSubscribers = 2;
    private byte[]? _deflated;
    private bool _tried;

    /// <summary>Told once to how many subscriptions the event goes, before it goes to the first; null when nobody asks.</summary>
    public Action<int>? Heard { get; init; }

    /// <summary>To how many subscriptions it goes; set before it goes to the first.</summary>
    public int Subscribers { get; set; }

    /// <summary>The event and the end of its message compressed, made once for all; null when that does not pay.</summary>
    /// <remarks>Two threads that ask first at the same moment both make it: harmless.</remarks>
    public byte[]? Deflated
    {
        get
        {
            if (!Volatile.Read(ref _tried))
            {
                _deflated = Subscribers >= WorthSubscribers ? MessageDeflater.TryDeflate(Record.Json, "]"u8) : null;
                Volatile.Write(ref _tried, true);
            }

            return _deflated;
        }
    }
}
