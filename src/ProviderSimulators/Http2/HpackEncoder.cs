using System.Buffers;
using System.Text;

namespace Marmot.ProviderSimulators.Http2;

/// <summary>
/// Header lists to header blocks, as literals without indexing and without Huffman (RFC 7541, 6.2.2): no state, so replies may
/// be written in any order.
/// </summary>
internal static class HpackEncoder
{
    public static byte[] Encode(int status, IEnumerable<KeyValuePair<string, string>> headers)
    {
        var block = new ArrayBufferWriter<byte>();
        Write(block, ":status", status.ToString(System.Globalization.CultureInfo.InvariantCulture));
        foreach (var (name, value) in headers) Write(block, name, value);
        return block.WrittenSpan.ToArray();
    }

    internal static void Write(ArrayBufferWriter<byte> block, string name, string value)
    {
        block.Write([(byte)0]);
        WriteString(block, name);
        WriteString(block, value);
    }

    private static void WriteString(ArrayBufferWriter<byte> block, string text)
    {
        var bytes = Encoding.Latin1.GetBytes(text);
        // 5.1 with a prefix of 7 bits
        if (bytes.Length < 127)
        {
            block.Write([(byte)bytes.Length]);
        }
        else
        {
            block.Write([(byte)127]);
            var rest = bytes.Length - 127;
            for (; rest >= 128; rest >>= 7) block.Write([(byte)(rest | 0x80)]);
            block.Write([(byte)rest]);
        }
        block.Write(bytes);
    }
}
