using System.Buffers;
using System.Globalization;
using System.Text;

namespace Marmot.Hosting.Redis;

/// <summary>Writes a command: an array of byte strings, which is the one form servers take.</summary>
internal static class RespWriter
{
    public static void Write(IBufferWriter<byte> output, ReadOnlySpan<ReadOnlyMemory<byte>> words)
    {
        WriteHeader(output, '*', words.Length);
        foreach (var word in words)
        {
            WriteHeader(output, '$', word.Length);
            output.Write(word.Span);
            output.Write("\r\n"u8);
        }
    }

    public static ReadOnlyMemory<byte> Word(string text) => Encoding.UTF8.GetBytes(text);

    public static ReadOnlyMemory<byte> Word(long number) => Encoding.ASCII.GetBytes(number.ToString(CultureInfo.InvariantCulture));

    private static void WriteHeader(IBufferWriter<byte> output, char type, int count)
    {
        var span = output.GetSpan(16);
        span[0] = (byte)type;
        count.TryFormat(span[1..], out var written, default, CultureInfo.InvariantCulture);
        "\r\n"u8.CopyTo(span[(1 + written)..]);
        output.Advance(written + 3);
    }
}
