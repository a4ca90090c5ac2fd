using System.Buffers;
using Marmot.Protocol.Encoding;

namespace Marmot.Protocol.Negentropy;

/// <summary>Negentropy, protocol version 1: two sides find out which records the other lacks, at a cost that grows with the difference (NIP-77).</summary>
/// <remarks>
/// The client initiates and reconciles, the relay responds; both are pure functions of a set and a message, so nothing is kept between
/// messages. A message is the version, then ranges: upper bound, mode, and nothing (skip), a fingerprint, or a list of ids. Thread-safe.
/// </remarks>
public static class Reconciliation
{
    /// <summary>Protocol version 1.</summary>
    public const byte Version = 0x61;

    /// <summary>Smallest limit of a message in bytes, before hex.</summary>
    public const int MinMessageBytes = 4096;

    private const byte FirstVersion = 0x60;
    private const byte LastVersion = 0x6F;
    private const int Skip = 0;
    private const int Fingerprint = 1;
    private const int IdList = 2;

    /// <summary>Parts that a range is split into; up to twice as many records are listed by id.</summary>
    private const int Buckets = 16;

    /// <summary>Room kept for what is being written when the limit is met, at most 31 ids or 16 fingerprints with their bounds, and the last
    /// fingerprint.</summary>
    private const int TailBytes = 1200;

    /// <summary>The client's first message.</summary>
    public static byte[] Initiate(NegentropySet set)
    {
        var writer = new NegentropyWriter();
        writer.Output.Write([Version]);
        Split(set, 0, set.Count, NegentropyBound.End, writer);
        return writer.Output.WrittenSpan.ToArray();
    }

    /// <summary>The client's next step.</summary>
    /// <param name="set">The client's records.</param>
    /// <param name="message">What the relay answered.</param>
    /// <param name="maxMessageBytes">Longest next message, at least <see cref="MinMessageBytes"/>.</param>
    /// <param name="have">Takes ids that the relay lacks.</param>
    /// <param name="need">Takes ids that the client lacks.</param>
    /// <param name="next">What to send; null when all is known.</param>
    /// <returns>False when the message is malformed or of another version.</returns>
    public static bool TryReconcile(
        NegentropySet set, ReadOnlySpan<byte> message, int maxMessageBytes, ICollection<Bytes32> have, ICollection<Bytes32> need, out byte[]? next)
    {
        next = null;
        if (message.IsEmpty || message[0] != Version || !TryAnswer(set, message, maxMessageBytes, have, need, out var answer))
        {
            return false;
        }

        next = answer.Length == 1 ? null : answer;
        return true;
    }

    /// <summary>The relay's answer to any message of a client; to another version only the own version number, so that the client may step down.</summary>
    /// <param name="set">The relay's records.</param>
    /// <param name="message">What the client sent.</param>
    /// <param name="maxMessageBytes">Longest answer, at least <see cref="MinMessageBytes"/>.</param>
    /// <param name="answer">What to send.</param>
    /// <returns>False when the message is malformed.</returns>
    public static bool TryRespond(NegentropySet set, ReadOnlySpan<byte> message, int maxMessageBytes, out byte[] answer)
    {
        answer = [Version];
        if (message.IsEmpty || message[0] is < FirstVersion or > LastVersion)
        {
            return false;
        }

        return message[0] != Version || TryAnswer(set, message, maxMessageBytes, null, null, out answer);
    }

    private static bool TryAnswer(
        NegentropySet set, ReadOnlySpan<byte> message, int maxMessageBytes, ICollection<Bytes32>? have, ICollection<Bytes32>? need, out byte[] answer)
    {
        answer = [];
        var reader = new NegentropyReader(message[1..]);
        var writer = new NegentropyWriter();
        writer.Output.Write([Version]);
        var limit = Math.Max(maxMessageBytes, MinMessageBytes) - TailBytes;
        var lower = 0;
        var previous = new NegentropyBound(0, default);
        var skipped = false;
        Span<byte> ours = stackalloc byte[NegentropySet.FingerprintSize];
        while (!reader.AtEnd)
        {
            // 1. A range of theirs, and ours between the same bounds.
            if (!reader.TryReadBound(out var bound) || !reader.TryReadNumber(out var mode))
            {
                return false;
            }

            var upper = set.FindLowerBound(lower, bound);

            // 2. What there is to say about it; ranges that need no word are skipped together, by one entry before the next that does.
            switch (mode)
            {
                case Skip:
                    skipped = true;
                    break;
                case Fingerprint:
                    if (!reader.TryReadBytes(NegentropySet.FingerprintSize, out var theirs))
                    {
                        return false;
                    }

                    set.WriteFingerprint(lower, upper, ours);
                    if (theirs.SequenceEqual(ours))
                    {
                        skipped = true;
                    }
                    else
                    {
                        WriteSkip(writer, previous, ref skipped);
                        Split(set, lower, upper, bound, writer);
                    }

                    break;
                case IdList:
                    if (!TryReadIds(ref reader, out var ids))
                    {
                        return false;
                    }

                    if (have is not null)
                    {
                        Compare(set, lower, upper, ids, have, need!);
                        skipped = true;
                    }
                    else
                    {
                        WriteSkip(writer, previous, ref skipped);
                        upper = WriteIds(set, lower, upper, bound, limit, writer);
                    }

                    break;
                default:
                    return false;
            }

            // 3. No room for more: one fingerprint stands for the rest, and the other side asks on.
            if (writer.Size > limit)
            {
                WriteRest(set, upper, writer);
                break;
            }

            lower = upper;
            previous = bound;
        }

        answer = writer.Output.WrittenSpan.ToArray();
        return true;
    }

    private static void WriteSkip(NegentropyWriter writer, in NegentropyBound previous, ref bool skipped)
    {
        if (skipped)
        {
            writer.WriteBound(previous);
            writer.WriteNumber(Skip);
            skipped = false;
        }
    }

    private static void Split(NegentropySet set, int lower, int upper, in NegentropyBound bound, NegentropyWriter writer)
    {
        var count = upper - lower;
        if (count < Buckets * 2)
        {
            writer.WriteBound(bound);
            writer.WriteNumber(IdList);
            writer.WriteNumber((ulong)count);
            for (var i = lower; i < upper; i++)
            {
                writer.Output.Write(set[i].Id.Span);
            }

            return;
        }

        var size = count / Buckets;
        var larger = count % Buckets; // the first ones hold one more
        for (var bucket = 0; bucket < Buckets; bucket++)
        {
            var end = lower + size + (bucket < larger ? 1 : 0);
            writer.WriteBound(end == upper ? bound : NegentropyBound.Between(set[end - 1], set[end]));
            writer.WriteNumber(Fingerprint);
            set.WriteFingerprint(lower, end, writer.Output.GetSpan(NegentropySet.FingerprintSize));
            writer.Output.Advance(NegentropySet.FingerprintSize);
            lower = end;
        }
    }

    private static bool TryReadIds(scoped ref NegentropyReader reader, out ReadOnlySpan<byte> ids)
    {
        ids = default;
        return reader.TryReadNumber(out var count) && count <= int.MaxValue / Bytes32.Size && reader.TryReadBytes((int)count * Bytes32.Size, out ids);
    }

    private static void Compare(NegentropySet set, int lower, int upper, ReadOnlySpan<byte> ids, ICollection<Bytes32> have, ICollection<Bytes32> need)
    {
        var theirs = new HashSet<Bytes32>(ids.Length / Bytes32.Size);
        for (; !ids.IsEmpty; ids = ids[Bytes32.Size..])
        {
            theirs.Add(new Bytes32(ids[..Bytes32.Size]));
        }

        for (var i = lower; i < upper; i++)
        {
            if (!theirs.Remove(set[i].Id))
            {
                have.Add(set[i].Id);
            }
        }

        foreach (var id in theirs)
        {
            need.Add(id);
        }
    }

    // The ids of the range, as far as they fit; returns where it stopped.
    private static int WriteIds(NegentropySet set, int lower, int upper, NegentropyBound bound, int limit, NegentropyWriter writer)
    {
        var fitting = Math.Max(0, (limit - writer.Size) / Bytes32.Size);
        if (upper - lower > fitting)
        {
            // The limit is passed on purpose below, so that the caller ends the message here.
            upper = lower + fitting + 1 < upper ? lower + fitting + 1 : upper;
            bound = upper < set.Count ? NegentropyBound.Between(set[upper - 1], set[upper]) : bound;
        }

        writer.WriteBound(bound);
        writer.WriteNumber(IdList);
        writer.WriteNumber((ulong)(upper - lower));
        for (var i = lower; i < upper; i++)
        {
            writer.Output.Write(set[i].Id.Span);
        }

        return upper;
    }

    private static void WriteRest(NegentropySet set, int from, NegentropyWriter writer)
    {
        writer.WriteBound(NegentropyBound.End);
        writer.WriteNumber(Fingerprint);
        set.WriteFingerprint(from, set.Count, writer.Output.GetSpan(NegentropySet.FingerprintSize));
        writer.Output.Advance(NegentropySet.FingerprintSize);
    }
}
