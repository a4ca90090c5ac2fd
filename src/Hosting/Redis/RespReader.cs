using System.Buffers;
using System.Buffers.Text;

namespace Marmot.Hosting.Redis;

/// <summary>Reads replies in RESP2, and those of RESP3 a server may push.</summary>
/// <remarks>Sizes are bounded before anything is allocated: a broken or hostile server ends the connection, not the process.</remarks>
internal static class RespReader
{
    public const int MaxBytes = 64 << 20;
    public const int MaxItems = 1 << 16;
    private const int MaxDepth = 8;
    private const int MaxLine = 64 * 1024;

    /// <summary>Takes one whole reply off the front; false when more bytes are needed, and then nothing was taken.</summary>
    /// <exception cref="InvalidDataException">This is not RESP, or larger than anything this client asks for.</exception>
    public static bool TryRead(ref ReadOnlySequence<byte> source, out RespValue value)
    {
        var reader = new SequenceReader<byte>(source);
        if (!TryRead(ref reader, 0, out value))
        {
            return false;
        }

        source = source.Slice(reader.Position);
        return true;
    }

    private static bool TryRead(ref SequenceReader<byte> reader, int depth, out RespValue value)
    {
        value = RespValue.Null;
        if (depth > MaxDepth)
        {
            throw new InvalidDataException("RESP nested too deep");
        }

        if (!reader.TryReadTo(out ReadOnlySequence<byte> lineBytes, "\r\n"u8))
        {
            return reader.Remaining <= MaxLine ? false : throw new InvalidDataException("RESP line too long");
        }

        if (lineBytes.Length is 0 or > MaxLine)
        {
            throw new InvalidDataException("RESP line of a wrong length");
        }

        var line = lineBytes.IsSingleSegment ? lineBytes.FirstSpan : lineBytes.ToArray();
        var rest = line[1..];
        switch (line[0])
        {
            case (byte)'+' or (byte)',' or (byte)'(':
                value = RespValue.FromBytes(rest.ToArray());
                return true;
            case (byte)'-':
                value = RespValue.FromError(rest.ToArray());
                return true;
            case (byte)':':
                value = RespValue.FromNumber(ReadNumber(rest, long.MinValue, long.MaxValue));
                return true;
            case (byte)'#':
                value = RespValue.FromNumber(rest.SequenceEqual("t"u8) ? 1 : 0);
                return true;
            case (byte)'_':
                return true;
            case (byte)'$' or (byte)'!' or (byte)'=':
                return TryReadBytes(ref reader, line[0], (int)ReadNumber(rest, -1, MaxBytes), out value);
            case (byte)'*' or (byte)'~' or (byte)'>':
                return TryReadItems(ref reader, (int)ReadNumber(rest, -1, MaxItems), depth, out value);
            case (byte)'%':
                return TryReadItems(ref reader, (int)ReadNumber(rest, 0, MaxItems / 2) * 2, depth, out value);
            default:
                throw new InvalidDataException("not RESP");
        }
    }

    private static bool TryReadBytes(ref SequenceReader<byte> reader, byte type, int length, out RespValue value)
    {
        value = RespValue.Null;
        if (length < 0)
        {
            return true;
        }

        if (reader.Remaining < length + 2L)
        {
            return false;
        }

        var bytes = new byte[length];
        reader.TryCopyTo(bytes);
        reader.Advance(length);
        if (!reader.IsNext("\r\n"u8, advancePast: true))
        {
            throw new InvalidDataException("RESP string without its end");
        }

        // A verbatim string starts with its form: "txt:".
        value = type switch
        {
            (byte)'!' => RespValue.FromError(bytes),
            (byte)'=' when length >= 4 => RespValue.FromBytes(bytes.AsMemory(4)),
            _ => RespValue.FromBytes(bytes),
        };
        return true;
    }

    private static bool TryReadItems(ref SequenceReader<byte> reader, int count, int depth, out RespValue value)
    {
        value = RespValue.Null;
        if (count < 0)
        {
            return true;
        }

        var items = new List<RespValue>(Math.Min(count, 16));
        for (var i = 0; i < count; i++)
        {
            if (!TryRead(ref reader, depth + 1, out var item))
            {
                return false;
            }

            items.Add(item);
        }

        value = RespValue.FromItems(items);
        return true;
    }

    private static long ReadNumber(ReadOnlySpan<byte> text, long least, long most) =>
        Utf8Parser.TryParse(text, out long number, out var used) && used == text.Length && number >= least && number <= most
            ? number
            : throw new InvalidDataException("RESP number out of range");
}
