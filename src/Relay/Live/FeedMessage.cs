using System.Buffers.Binary;
using Marmot.Protocol.Events;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Live;

/// <summary>What one replica tells the others: events it stored, up to where it stored, or an ephemeral event.</summary>
/// <remarks>
/// A letter, the history of the database that the sender writes to (16 bytes: arrival numbers of another mean nothing here), then: <c>a</c> the first arrival
/// number u64 and each event as length u32 and bytes, numbers without a hole; <c>h</c> the newest arrival number u64; <c>e</c> the event. Big-endian. The bus
/// is inside the operator's own network: events are not verified again. Capital letters were messages of earlier versions, which named no history; what they
/// told comes by looking.
/// </remarks>
internal static class FeedMessage
{
    public const byte Arrivals = (byte)'a';
    public const byte Hint = (byte)'h';
    public const byte Ephemeral = (byte)'e';
    private const int HistorySize = 16;
    private const int BodyAt = 1 + HistorySize;
    private const int EventsAt = BodyAt + sizeof(ulong);

    public static byte[] WriteHint(Guid history, ulong newest)
    {
        var message = Begin(EventsAt, Hint, history);
        BinaryPrimitives.WriteUInt64BigEndian(message.AsSpan(BodyAt), newest);
        return message;
    }

    public static byte[] WriteEphemeral(Guid history, EventRecord record)
    {
        var message = Begin(BodyAt + record.Json.Length, Ephemeral, history);
        record.Json.CopyTo(message, BodyAt);
        return message;
    }

    /// <summary>A run of events, or the hint when it would be too large.</summary>
    public static byte[] WriteArrivals(Guid history, ReadOnlySpan<LiveEvent> run, int maxBytes)
    {
        var size = EventsAt;
        foreach (var live in run)
        {
            size += sizeof(uint) + live.Record.Json.Length;
        }

        if (size > maxBytes)
        {
            return WriteHint(history, run[^1].Arrival);
        }

        var message = Begin(size, Arrivals, history);
        BinaryPrimitives.WriteUInt64BigEndian(message.AsSpan(BodyAt), run[0].Arrival);
        var at = EventsAt;
        foreach (var live in run)
        {
            BinaryPrimitives.WriteUInt32BigEndian(message.AsSpan(at), (uint)live.Record.Json.Length);
            live.Record.Json.CopyTo(message, at + sizeof(uint));
            at += sizeof(uint) + live.Record.Json.Length;
        }

        return message;
    }

    /// <summary>What kind of message it is, and of which history; false when it is none of this version.</summary>
    public static bool TryReadHead(ReadOnlySpan<byte> message, out byte kind, out Guid history)
    {
        kind = message.Length >= BodyAt ? message[0] : (byte)0;
        history = kind != 0 ? new Guid(message.Slice(1, HistorySize)) : Guid.Empty;
        return kind is Arrivals or Hint or Ephemeral;
    }

    /// <summary>The events of a run in order; fewer than were sent when the message is broken, and then the store has the rest.</summary>
    public static List<LiveEvent> ReadArrivals(ReadOnlySpan<byte> message)
    {
        var events = new List<LiveEvent>();
        if (message.Length < EventsAt)
        {
            return events;
        }

        var arrival = BinaryPrimitives.ReadUInt64BigEndian(message[BodyAt..]);
        var rest = message[EventsAt..];
        while (rest.Length > sizeof(uint) && BinaryPrimitives.ReadUInt32BigEndian(rest) is var length
            && length <= rest.Length - sizeof(uint) && TryReadEvent(rest.Slice(sizeof(uint), (int)length)) is { } record)
        {
            events.Add(new LiveEvent(record, arrival++));
            rest = rest[(sizeof(uint) + (int)length)..];
        }

        return events;
    }

    public static ulong ReadHint(ReadOnlySpan<byte> message) =>
        message.Length == EventsAt ? BinaryPrimitives.ReadUInt64BigEndian(message[BodyAt..]) : 0;

    public static EventRecord? ReadEphemeral(ReadOnlySpan<byte> message) =>
        TryReadEvent(message[BodyAt..]) is { } record && KindRules.IsEphemeral(record.Kind) ? record : null;

    public static EventRecord? TryReadEvent(ReadOnlySpan<byte> json) =>
        NostrEventReader.TryRead(json, out var view, out _) ? EventRecord.Create(view, vanishesHere: false) : null;

    private static byte[] Begin(int size, byte kind, Guid history)
    {
        var message = new byte[size];
        message[0] = kind;
        history.TryWriteBytes(message.AsSpan(1));
        return message;
    }
}
