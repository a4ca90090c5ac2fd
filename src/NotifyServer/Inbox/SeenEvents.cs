using Marmot.Protocol.Encoding;

namespace Marmot.NotifyServer.Inbox;

/// <summary>Ids of events that were verified and live, of all relays together; the oldest leaves when it is full.</summary>
/// <remarks>Only a verified event may be added: otherwise anyone could keep a genuine one away by naming its id first. Thread-safe.</remarks>
internal sealed class SeenEvents(int capacity)
{
    private readonly Lock _gate = new();
    private readonly HashSet<Bytes32> _ids = [];
    private readonly Queue<Bytes32> _order = new();

    public bool Contains(in Bytes32 id)
    {
        lock (_gate)
        {
            return _ids.Contains(id);
        }
    }

    /// <summary>False when the id was there already.</summary>
    public bool TryAdd(in Bytes32 id)
    {
        lock (_gate)
        {
            if (!_ids.Add(id))
            {
                return false;
            }

            _order.Enqueue(id);
            if (_order.Count > capacity)
            {
                _ids.Remove(_order.Dequeue());
            }

            return true;
        }
    }

    /// <summary>The event's trigger was put off, not done: another relay's copy may come.</summary>
    public void Forget(in Bytes32 id)
    {
        lock (_gate)
        {
            _ids.Remove(id); // its place in the order stays and runs out
        }
    }
}
