using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Marmot.ProviderSimulators.Http2;

/// <summary>
/// Header blocks to header lists. RFC 7541. One per connection and used by its reader only: the dynamic table carries over from
/// block to block. A false return is a connection error COMPRESSION_ERROR (RFC 9113, 4.3).
/// </summary>
internal sealed class HpackDecoder
{
    public const int DefaultTableBytes = 4096;
    /// <summary>RFC 7541, 4.1: an entry costs name, value and 32 bytes.</summary>
    private const int EntryOverheadBytes = 32;
    /// <summary>Bound on one decoded header list, so that a small block cannot unfold without end; APNs needs below 2 KiB.</summary>
    private const int MaxListBytes = 64 * 1024;

    private readonly List<KeyValuePair<string, string>> _dynamic = [];
    private int _tableBytes;
    private readonly int _maxTableBytes;
    private int _tableLimit;

    /// <summary>The bound is what our SETTINGS_HEADER_TABLE_SIZE allows.</summary>
    public HpackDecoder(int maxTableBytes = DefaultTableBytes) => _tableLimit = _maxTableBytes = maxTableBytes;

    public bool TryDecode(ReadOnlySpan<byte> block, [NotNullWhen(true)] out List<KeyValuePair<string, string>>? headers)
    {
        headers = null;
        var list = new List<KeyValuePair<string, string>>();
        var listBytes = 0;
        while (!block.IsEmpty)
        {
            var first = block[0];
            KeyValuePair<string, string> field;
            if ((first & 0x80) != 0)
            {
                // 6.1 Indexed field
                if (!TryReadInteger(ref block, 7, out var index) || !TryGet(index, out field)) return false;
            }
            else if ((first & 0xc0) == 0x40)
            {
                // 6.2.1 Literal with incremental indexing
                if (!TryReadLiteral(ref block, 6, out field)) return false;
                Add(field);
            }
            else if ((first & 0xe0) == 0x20)
            {
                // 6.3 Table size update: only before the first field of a block
                if (list.Count != 0 || !TryReadInteger(ref block, 5, out var size) || size > _maxTableBytes) return false;
                _tableLimit = size;
                Evict(0);
                continue;
            }
            else if (!TryReadLiteral(ref block, 4, out field))
            {
                // 6.2.2 without indexing, 6.2.3 never indexed
                return false;
            }
            listBytes += Cost(field);
            if (listBytes > MaxListBytes) return false;
            list.Add(field);
        }
        headers = list;
        return true;
    }

    private bool TryReadLiteral(ref ReadOnlySpan<byte> block, int prefixBits, out KeyValuePair<string, string> field)
    {
        field = default;
        if (!TryReadInteger(ref block, prefixBits, out var index)) return false;
        string? name;
        if (index == 0)
        {
            if (!TryReadString(ref block, out name)) return false;
        }
        else
        {
            if (!TryGet(index, out var known)) return false;
            name = known.Key;
        }
        if (!TryReadString(ref block, out var value)) return false;
        field = new(name, value);
        return true;
    }

    // 5.1: the value fits the prefix, or follows in 7-bit groups, least significant first. Four groups are more than any use here.
    internal static bool TryReadInteger(ref ReadOnlySpan<byte> block, int prefixBits, out int value)
    {
        value = 0;
        if (block.IsEmpty) return false;
        var mask = (1 << prefixBits) - 1;
        value = block[0] & mask;
        block = block[1..];
        if (value < mask) return true;
        for (var shift = 0; shift <= 21; shift += 7)
        {
            if (block.IsEmpty) return false;
            var octet = block[0];
            block = block[1..];
            value += (octet & 0x7f) << shift;
            if ((octet & 0x80) == 0) return true;
        }
        return false;
    }

    private static bool TryReadString(ref ReadOnlySpan<byte> block, [NotNullWhen(true)] out string? text)
    {
        text = null;
        if (block.IsEmpty) return false;
        var huffman = (block[0] & 0x80) != 0;
        if (!TryReadInteger(ref block, 7, out var length) || length > block.Length) return false;
        var bytes = block[..length];
        block = block[length..];
        if (huffman)
        {
            if (!HpackHuffman.TryDecode(bytes, out var decoded)) return false;
            bytes = decoded;
        }
        text = Encoding.Latin1.GetString(bytes);
        return true;
    }

    private bool TryGet(int index, out KeyValuePair<string, string> field)
    {
        field = default;
        if (index == 0) return false;
        if (index <= HpackStaticTable.Count)
        {
            field = HpackStaticTable.Get(index);
            return true;
        }
        var place = index - HpackStaticTable.Count - 1;
        if (place >= _dynamic.Count) return false;
        // Newest entry has the lowest index (2.3.3); the list keeps it last.
        field = _dynamic[_dynamic.Count - 1 - place];
        return true;
    }

    private void Add(KeyValuePair<string, string> field)
    {
        var cost = Cost(field);
        Evict(cost);
        // 4.4: an entry larger than the table empties it and is not an error.
        if (cost > _tableLimit) return;
        _dynamic.Add(field);
        _tableBytes += cost;
    }

    private void Evict(int room)
    {
        while (_dynamic.Count > 0 && _tableBytes + room > _tableLimit)
        {
            _tableBytes -= Cost(_dynamic[0]);
            _dynamic.RemoveAt(0);
        }
    }

    private static int Cost(KeyValuePair<string, string> field) => field.Key.Length + field.Value.Length + EntryOverheadBytes;
}
