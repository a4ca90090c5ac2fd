using System.Buffers.Binary;

namespace Marmot.Hosting.Cluster;

/// <summary>The listening half that all buses share: who listens where, what has been heard of whom, and when that shows a gap.</summary>
/// <remarks>Thread-safe: one lock, under which listeners are called, so that each hears one thing at a time.</remarks>
internal sealed class BusSubscriptions(ulong self)
{
    private const int MaxSenders = 1024;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, List<IClusterListener>> _listeners = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Channel, ulong Sender), ulong> _heard = [];

    public IReadOnlyList<string> Channels
    {
        get
        {
            lock (_lock)
            {
                return [.. _listeners.Keys];
            }
        }
    }

    public IDisposable Add(string channel, IClusterListener listener, bool isConnected)
    {
        lock (_lock)
        {
            if (!_listeners.TryGetValue(channel, out var list))
            {
                _listeners.Add(channel, list = []);
            }

            list.Add(listener);
            if (isConnected)
            {
                listener.OnGap();
            }
        }

        return new Leaving(this, channel, listener);
    }

    /// <summary>A frame came in.</summary>
    public void Take(string channel, ReadOnlyMemory<byte> frame)
    {
        if (frame.Length < BusFrame.HeaderSize)
        {
            return;
        }

        var sender = BinaryPrimitives.ReadUInt64BigEndian(frame.Span);
        var number = BinaryPrimitives.ReadUInt64BigEndian(frame.Span[8..]);
        lock (_lock)
        {
            if (sender == self || !_listeners.TryGetValue(channel, out var list))
            {
                return;
            }

            // A sender never heard before starts at 1; any other number means that it was there already.
            var last = _heard.GetValueOrDefault((channel, sender));
            if (number <= last)
            {
                return;
            }

            if (_heard.Count >= MaxSenders)
            {
                _heard.Clear(); // senders come and go with restarts; forgetting costs one needless gap each
            }

            _heard[(channel, sender)] = number;
            foreach (var listener in list)
            {
                if (number != last + 1)
                {
                    listener.OnGap();
                }

                if (frame.Length > BusFrame.HeaderSize)
                {
                    listener.OnMessage(frame[BusFrame.HeaderSize..]);
                }
            }
        }
    }

    /// <summary>Listening on the channel starts anew: whatever came before may be missing.</summary>
    public void GapOn(string channel)
    {
        lock (_lock)
        {
            foreach (var listener in _listeners.GetValueOrDefault(channel) ?? [])
            {
                listener.OnGap();
            }
        }
    }

    /// <summary>The connection is new: whatever came before may be missing.</summary>
    public void GapEverywhere()
    {
        lock (_lock)
        {
            foreach (var listener in _listeners.Values.SelectMany(list => list))
            {
                listener.OnGap();
            }
        }
    }

    private void Remove(string channel, IClusterListener listener)
    {
        lock (_lock)
        {
            if (_listeners.TryGetValue(channel, out var list) && list.Remove(listener) && list.Count == 0)
            {
                _listeners.Remove(channel);
            }
        }
    }

    private sealed class Leaving(BusSubscriptions owner, string channel, IClusterListener listener) : IDisposable
    {
        public void Dispose() => owner.Remove(channel, listener);
    }
}
