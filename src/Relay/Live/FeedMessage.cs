using System.Buffers.Binary;
using Marmot.Protocol.Events;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Live;

/// <summary>What one replica tells the others: events it stored, up to where it stored, or an ephemeral event.</summary>
/// <remarks>
/// A letter, then: <c>A</c> the first arrival number u64 and each event as length u32 and bytes, numbers without a hole; <c>H</c> the newest
/// arrival number u64; <c>E</c> the event. Big-endian. The bus is inside the operator's own network: events are not verified again.
/// </remarks>
internal static class FeedMessage
{
    public const byte Arrivals = (byte)'A';
    public const byte Hint = (byte)'H';
    public const byte Ephemeral = (byte)'E';
    private const int HeaderSize = 1 + sizeof(ulong);

    public static byte[] WriteHint(ulong newest)
    {
        var message = new byte[HeaderSize];
        message[0] = Hint;
        BinaryPrimitives.WriteUInt64BigEndian(message.AsSpan(1), newest);
        return message;
    }

    public static byte[] WriteEphemeral(EventRecord record) => [Ephemeral, .. record.Json];

    /// <summary>A run of events, or the hint when it would be too large.</summary>
    public static byte[] WriteArrivals(ReadOnlySpan<LiveEvent> run, int maxBytes)
    {
        var size = HeaderSize;
        foreach (var live in run)
        {
            size += sizeof(uint) + live.Record.Json.Length;
        }

        if (size > maxBytes)
        {
            return WriteHint(run[^1].Arrival);
        }

        var message = new byte[size];
        message[0] = Arrivals;
        BinaryPrimitives.WriteUInt64BigEndian(message.AsSpan(1), run[0].Arrival);
        var at = HeaderSize;
        foreach (var live in run)
        {
            BinaryPrimitives.WriteUInt32BigEndian(message.AsSpan(at), (uint)live.Record.Json.Length);
            live.Record.Json.CopyTo(message, at + sizeof(uint));
            at += sizeof(uint) + live.Record.Json.Length;
        }

        return message;
    }

    /// <summary>The events of a run in order; fewer than were sent when the message is broken, and then the store has the rest.</summary>
    public static List<LiveEvent> ReadArrivals(ReadOnlySpan<byte> message)
    {
        var events = new List<LiveEvent>();
        if (message.Length < HeaderSize)
        {
            return events;
        }

        var arrival = BinaryPrimitives.ReadUInt64BigEndian(message[1..]);
        var rest = message[HeaderSize..];
        while (rest.Length > sizeof(uint) && BinaryPrimitives.ReadUInt32BigEndian(rest) is var length
            && length <= rest.Length - sizeof(uint) && TryReadEvent(rest.Slice(sizeof(uint), (int)length)) is { } record)
        {
            events.Add(new LiveEvent(record, arrival++));
            rest = rest[(sizeof(uint) + (int)length)..];
        }

        return events;
    }

    public static ulong ReadHint(ReadOnlySpan<byte> message) =>
        message.Length == HeaderSize ? BinaryPrimitives.ReadUInt64BigEndian(message[1..]) : 0;

    public static EventRecord? TryReadEvent(ReadOnlySpan<byte> json) =>
        NostrEventReader.TryRead(json, out var view, out _) ? EventRecord.Create(view, vanishesHere: false) : null;
}
