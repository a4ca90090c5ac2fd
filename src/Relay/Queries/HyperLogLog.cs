using System.Numerics;
using System.Security.Cryptography;
using System.Text;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Queries;

/// <summary>How many different authors a count stands for, in 256 registers that clients may merge over relays (NIP-45).</summary>
internal sealed class HyperLogLog : IStoredEventSink
{
    private const int RegisterCount = 256;
    private const int FirstOffset = 8;
    private readonly byte[] _registers = new byte[RegisterCount];
    private readonly int _offset;

    private HyperLogLog(int offset) => _offset = offset;

    /// <summary>Null for a filter without a tag condition, for which NIP-45 defines nothing.</summary>
    public static HyperLogLog? TryCreate(Filter filter)
    {
        foreach (var (_, values) in filter.Tags)
        {
            return values.Length > 0 ? new HyperLogLog(OffsetOf(values[0])) : null;
        }

        return null;
    }

    /// <summary>Where in a public key the registers are read: the 33rd hex digit of what the first tag value stands for, plus 8.</summary>
    public static int OffsetOf(string value)
    {
        var parts = value.Split(':', 3);
        if (!Bytes32.TryParseHex(value.AsSpan(), out var bytes)
            && !(parts.Length == 3 && parts[0].Length > 0 && parts[0].All(char.IsAsciiDigit) && Bytes32.TryParseHex(parts[1].AsSpan(), out bytes)))
        {
            bytes = new Bytes32(SHA256.HashData(Encoding.UTF8.GetBytes(value)));
        }

        return (bytes.Span[16] >> 4) + FirstOffset;
    }

    public void Add(in Bytes32 author)
    {
        ref var register = ref _registers[author.Span[_offset]];
        var zeros = 0;
        foreach (var b in author.Span[(_offset + 1)..])
        {
            if (b != 0)
            {
                zeros += BitOperations.LeadingZeroCount(b) - 24;
                break;
            }

            zeros += 8;
        }

        register = Math.Max(register, (byte)(zeros + 1));
    }

    public bool Accept(ulong arrival, ReadOnlySpan<byte> json)
    {
        if (NostrEventReader.TryRead(json, out var view, out _))
        {
            Add(view.PublicKey);
        }

        return true;
    }

    /// <summary>512 hex digits.</summary>
    public byte[] ToHex()
    {
        var hex = new byte[RegisterCount * 2];
        Hex.EncodeLower(_registers, hex);
        return hex;
    }
}
