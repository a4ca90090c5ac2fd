using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;
using Marmot.Relay.Frames;
using Marmot.Relay.Replies;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Live;

/// <summary>One REQ: answered from the store up to a high-water mark, then live from that mark on, with nothing lost or doubled in between.</summary>
/// <remarks>
/// It is in the index before the mark is read. An event that commits before the mark is read is found by the scan; one that commits
/// later is fanned out after the subscription was indexed. Live events wait until EOSE is out. One that waits for authentication (NIP-42) is in
/// the index as well, and holds what may be its own until <see cref="Admit"/>.
/// </remarks>
internal sealed class Subscription(ReplyTarget client, string id, Filter[] filters, AuthWaitMemory? held = null)
{
    private const int MaxWaiting = 10_000;

    /// <summary>Live events kept for a request that waits for authentication: what one recipient gets in that time, many times over.</summary>
    private const int MaxHeld = 1000;

    private readonly Lock _lock = new();
    private readonly byte[] _head = [.. "[\"EVENT\","u8, .. RelayMessageWriter.EncodeSubscriptionId(id), (byte)','];
    private byte[]? _storedHead;
    private ulong _highWaterMark;
    private List<LiveEvent>? _waiting = [];
    private volatile AuthWaitMemory? _held = held; // counts what is held; null once it waits for authentication no more
    private long _heldBytes;
    private bool _heldTooMuch;
    private bool _closed;

    public ReplyTarget Client { get; } = client;

    public string Id { get; } = id;

    public Filter[] Filters { get; } = filters;

    /// <summary>The id as it stands in messages, quotes included.</summary>
    public ReadOnlySpan<byte> EncodedId => _head.AsSpan(9, _head.Length - 10);

    /// <summary>Number of the last event offered by <see cref="FanOut"/>; its loop alone uses it, so that two filters send once.</summary>
    public ulong LastOffered { get; set; }

    /// <summary>What its filters count for among those held open, bytes.</summary>
    public int FilterBytes { get; init; }

    /// <summary>Where it stands in the lists of <see cref="SubscriptionIndex"/>, by filter and value; only under its lock.</summary>
    public int[][] IndexPlaces { get; set; } = [];

    /// <summary>Sets the mark; events up to it come from the store.</summary>
    public void StartFrom(ulong highWaterMark)
    {
        lock (_lock)
        {
            _highWaterMark = highWaterMark;
            _waiting?.RemoveAll(live => live.Arrival != 0 && live.Arrival <= highWaterMark); // fanned out while the mark was being read
        }
    }

    /// <summary>Keeps a live event while the request waits for authentication; false when it does not wait.</summary>
    public bool TryHold(LiveEvent live)
    {
        if (_held is null)
        {
            return false;
        }

        lock (_lock)
        {
            if (_held is not { } memory)
            {
                return false;
            }

            if (_closed || (live.Arrival != 0 && live.Arrival <= _highWaterMark))
            {
                return true;
            }

            if (_waiting!.Count < MaxHeld && memory.TryAdd(live.Record.Json.Length))
            {
                _heldBytes += live.Record.Json.Length;
                _waiting.Add(live);
            }
            else
            {
                _heldTooMuch = true;
            }

            return true;
        }
    }

    /// <summary>The client has authenticated: of what was held it keeps what these keys may read.</summary>
    /// <returns>False when more came than is held, so that some would be missing.</returns>
    public bool Admit(Bytes32[] keys, bool wrapsOpen)
    {
        lock (_lock)
        {
            EndHold();
            _waiting?.RemoveAll(live => !NostrEventReader.TryRead(live.Record.Json, out var view, out _) || !GiftWrapAccess.MayRead(view, keys, wrapsOpen));
            return !_heldTooMuch;
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
                Client.Drop(ConnectionEnd.ReadsTooSlowly);
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

            Client.Outbox.Send(eose);
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
        if (Client.Compression == RelayCompression.All && MessageDeflater.TryDeflate(json, "]"u8) is { } deflated)
        {
            SendDeflated(deflated);
        }
        else
        {
            Client.Outbox.Send(_head, json, "]"u8);
        }
    }

    public void Close()
    {
        lock (_lock)
        {
            _closed = true;
            _waiting = null;
            EndHold();
        }
    }

    private void EndHold()
    {
        _held?.Remove(_heldBytes);
        _held = null;
        _heldBytes = 0;
    }

    private void Send(LiveEvent live)
    {
        if (Client.Compression != RelayCompression.Off && live.Deflated is { } deflated)
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
        Client.Outbox.Send(_storedHead ??= PerMessageDeflate.ToStoredBlock(_head), deflated, default, FrameOpcode.DeflatedText);
}
