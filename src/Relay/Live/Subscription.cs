using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;
using Marmot.Relay.Connections;
using Marmot.Relay.Ingest;

namespace Marmot.Relay.Live;

/// <summary>One REQ: answered from the store up to a high-water mark, then live from that mark on, with nothing lost or doubled in between.</summary>
/// <remarks>
/// It is in the index before the mark is read. An event that commits before the mark is read is found by the scan; one that commits
/// later is fanned out after the subscription was indexed. Live events wait until EOSE is out.
/// </remarks>
internal sealed class Subscription(Connection connection, string id, Filter[] filters)
{
    private const int MaxWaiting = 10_000;
    private readonly Lock _lock = new();
    private readonly byte[] _head = [.. "[\"EVENT\","u8, .. RelayMessageWriter.EncodeSubscriptionId(id), (byte)','];
    private byte[]? _storedHead;
    private ulong _highWaterMark;
    private List<LiveEvent>? _waiting = [];
    private bool _closed;

    public Connection Connection { get; } = connection;

    public string Id { get; } = id;

    public Filter[] Filters { get; } = filters;

    /// <summary>The id as it stands in messages, quotes included.</summary>
    public ReadOnlySpan<byte> EncodedId => _head.AsSpan(9, _head.Length - 10);

    /// <summary>Number of the last event offered by <see cref="FanOut"/>; its loop alone uses it, so that two filters send once.</summary>
    public ulong LastOffered { get; set; }

    /// <summary>Sets the mark; events up to it come from the store.</summary>
    public void StartFrom(ulong highWaterMark)
    {
        lock (_lock)
        {
            _highWaterMark = highWaterMark;
            _waiting?.RemoveAll(live => live.Arrival != 0 && live.Arrival <= highWaterMark); // fanned out while the mark was being read
        }
    }

    public void Deliver(LiveEvent live)
    {
        lock (_lock)
        {
            if (_closed || (live.Arrival != 0 && live.Arrival <= _highWaterMark))
            {
                return;
            }

            if (_waiting is null)
            {
                Send(live);
            }
            else if (_waiting.Count < MaxWaiting)
            {
                _waiting.Add(live);
            }
            else
            {
                Connection.Drop("reads too slowly");
            }
        }
    }

    /// <summary>Sends EOSE and what waited for it.</summary>
    public void GoLive(ReadOnlySpan<byte> eose)
    {
        lock (_lock)
        {
            if (_closed)
            {
                return;
            }

            Connection.Outbox.Send(eose);
            foreach (var live in _waiting!)
            {
                Send(live);
            }

            _waiting = null;
        }
    }

    /// <summary>Sends an event that goes to nobody else.</summary>
    public void Send(ReadOnlySpan<byte> json)
    {
        if (Connection.Compression == RelayCompression.All && MessageDeflater.TryDeflate(json, "]"u8) is { } deflated)
        {
            SendDeflated(deflated);
        }
        else
        {
            Connection.Outbox.Send(_head, json, "]"u8);
        }
    }

    public void Close()
    {
        lock (_lock)
        {
            _closed = true;
            _waiting = null;
        }
    }

    private void Send(LiveEvent live)
    {
        if (Connection.Compression != RelayCompression.Off && live.Deflated is { } deflated)
        {
            SendDeflated(deflated);
        }
        else
        {
            Send(live.Record.Json);
        }
    }

    // The head stands uncompressed before what all subscribers share.
    private void SendDeflated(byte[] deflated) =>
        Connection.Outbox.Send(_storedHead ??= PerMessageDeflate.ToStoredBlock(_head), deflated, default, FrameOpcode.DeflatedText);
}
