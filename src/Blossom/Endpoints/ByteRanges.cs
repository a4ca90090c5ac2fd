using System.Globalization;

namespace Marmot.Blossom.Endpoints;

/// <summary>A part of a blob, clamped to its size.</summary>
internal readonly record struct ByteRange(long Offset, long Length)
{
    public long Last => Offset + Length - 1;
}

/// <summary>Reads the Range header (RFC 9110, 14.2) into parts that are in order and do not overlap.</summary>
/// <remarks>Overlapping and touching parts are merged, so no header can ask for more than one body's worth of bytes.</remarks>
internal static class ByteRanges
{
    /// <summary>More parts than this are taken as abuse and the header is ignored, as RFC 9110, 17.15 allows.</summary>
    public const int MaxParts = 32;

    /// <returns>False when the header is no byte range, or malformed, and is to be ignored. True with an empty list is 416.</returns>
    public static bool TryRead(string header, long size, out List<ByteRange> ranges)
    {
        ranges = [];
        const string Unit = "bytes=";
        if (!header.StartsWith(Unit, StringComparison.OrdinalIgnoreCase))
        {
            return false;
        }

        var parts = 0;
        var rest = header.AsSpan(Unit.Length);
        foreach (var at in rest.Split(','))
        {
            var part = rest[at].Trim(" \t");
            if (part.IsEmpty)
            {
                continue;
            }

            if (++parts > MaxParts || !TryReadPart(part, size, out var range))
            {
                return false;
            }

            if (range.Length > 0)
            {
                ranges.Add(range);
            }
        }

        Merge(ranges);
        return parts > 0;
    }

    private static bool TryReadPart(ReadOnlySpan<char> part, long size, out ByteRange range)
    {
        range = default;
        var dash = part.IndexOf('-');
        if (dash < 0)
        {
            return false;
        }

        if (dash == 0)
        {
            if (!TryReadNumber(part[1..], out var suffix))
            {
                return false;
            }

            var length = Math.Min(suffix, size);
            range = new ByteRange(size - length, length);
            return true;
        }

        var last = long.MaxValue;
        if (!TryReadNumber(part[..dash], out var first) || (dash + 1 < part.Length && (!TryReadNumber(part[(dash + 1)..], out last) || last < first)))
        {
            return false;
        }

        range = first >= size ? default : new ByteRange(first, Math.Min(last, size - 1) - first + 1);
        return true;
    }

    /// <summary>Digits only; a number beyond 64 bits is as good as the largest one.</summary>
    private static bool TryReadNumber(ReadOnlySpan<char> digits, out long value)
    {
        value = 0;
        if (digits.IsEmpty || digits.ContainsAnyExceptInRange('0', '9'))
        {
            return false;
        }

        if (!long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out value))
        {
            value = long.MaxValue;
        }

        return true;
    }

    private static void Merge(List<ByteRange> ranges)
    {
        if (ranges.Count < 2)
        {
            return;
        }

        ranges.Sort((a, b) => a.Offset.CompareTo(b.Offset));
        var kept = 0;
        for (var i = 1; i < ranges.Count; i++)
        {
            if (ranges[i].Offset <= ranges[kept].Last + 1)
            {
                ranges[kept] = ranges[kept] with { Length = Math.Max(ranges[kept].Last, ranges[i].Last) - ranges[kept].Offset + 1 };
            }
            else
            {
                ranges[++kept] = ranges[i];
            }
        }

        ranges.RemoveRange(kept + 1, ranges.Count - kept - 1);
    }
}
