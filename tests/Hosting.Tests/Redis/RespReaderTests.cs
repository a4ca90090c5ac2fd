using System.Buffers;
using System.Text;
using Marmot.Hosting.Redis;

namespace Marmot.Hosting.Tests.Redis;

public sealed class RespReaderTests
{
    private const string Everything =
        "+OK\r\n-ERR no\r\n:-42\r\n$5\r\nhe\r\no\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n*2\r\n:1\r\n$-1\r\n"
        + "_\r\n#t\r\n#f\r\n,1.5\r\n(123\r\n=7\r\ntxt:abc\r\n!5\r\nERR x\r\n%1\r\n+k\r\n:7\r\n~1\r\n+s\r\n>2\r\n+a\r\n+b\r\n";

    private const string Read =
        "'OK' !ERR no! -42 'he\r\no' '' null null [] ['message' 'x' [1 null]] null 1 0 '1.5' '123' 'abc' !ERR x! ['k' 7] ['s'] ['a' 'b']";

    [Fact]
    public void Reads_every_kind_of_reply() => Assert.Equal(Read, Show(ReadAll(new ReadOnlySequence<byte>(Encoding.UTF8.GetBytes(Everything)), out var rest)) + (rest == 0 ? "" : "?"));

    [Fact]
    public void Waits_for_the_rest_wherever_the_bytes_are_cut_and_takes_nothing_meanwhile()
    {
        var bytes = Encoding.UTF8.GetBytes(Everything);
        for (var cut = 0; cut <= bytes.Length; cut++)
        {
            var first = ReadAll(new ReadOnlySequence<byte>(bytes.AsMemory(0, cut)), out var rest);
            var second = ReadAll(Segments(bytes.AsMemory(cut - rest), 3), out var left);
            Assert.Equal(0, left);
            Assert.Equal(Read, Show([.. first, .. second]));
        }
    }

    [Theory]
    [InlineData("hello\r\n")]
    [InlineData("$x\r\n")]
    [InlineData("$99999999999\r\n")]
    [InlineData("$-2\r\n")]
    [InlineData("*99999999\r\n")]
    [InlineData("$1\r\nabc")]
    [InlineData(":1x\r\n")]
    [InlineData("\r\n")]
    [InlineData("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n")]
    public void Refuses_what_is_not_a_reply_or_too_much(string text) =>
        Assert.Throws<InvalidDataException>(() => ReadAll(new ReadOnlySequence<byte>(Encoding.UTF8.GetBytes(text)), out _));

    [Fact]
    public void Refuses_a_line_without_an_end() =>
        Assert.Throws<InvalidDataException>(() => ReadAll(new ReadOnlySequence<byte>(new byte[100_000]), out _));

    [Fact]
    public void Survives_any_bytes()
    {
        var random = new Random(11);
        for (var round = 0; round < 20_000; round++)
        {
            var bytes = Encoding.UTF8.GetBytes(Everything);
            for (var i = random.Next(1, 4); i > 0; i--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            try
            {
                ReadAll(new ReadOnlySequence<byte>(bytes), out _);
            }
            catch (InvalidDataException)
            {
                // the one way to refuse
            }
        }
    }

    [Fact]
    public void Writes_commands_as_arrays_of_byte_strings()
    {
        var output = new ArrayBufferWriter<byte>();
        RespWriter.Write(output, [RespWriter.Word("SET"), new byte[] { 0, 13, 10 }, RespWriter.Word(-1234567890123)]);
        Assert.Equal("*3\r\n$3\r\nSET\r\n$3\r\n\0\r\n\r\n$14\r\n-1234567890123\r\n", Encoding.UTF8.GetString(output.WrittenSpan));
    }

    private static List<RespValue> ReadAll(ReadOnlySequence<byte> source, out int rest)
    {
        var values = new List<RespValue>();
        while (source.Length > 0 && RespReader.TryRead(ref source, out var value))
        {
            values.Add(value);
        }

        rest = (int)source.Length;
        return values;
    }

    private static string Show(IEnumerable<RespValue> values) => string.Join(' ', values.Select(Show));

    private static string Show(RespValue value) => value.Kind switch
    {
        RespKind.Null => "null",
        RespKind.Bytes => $"'{value.Text}'",
        RespKind.Error => $"!{value.Text}!",
        RespKind.Number => $"{value.Number}",
        _ => $"[{Show(value.Items)}]",
    };

    private static ReadOnlySequence<byte> Segments(ReadOnlyMemory<byte> bytes, int size)
    {
        var first = new Segment(bytes[..Math.Min(size, bytes.Length)], 0);
        var last = first;
        for (var at = size; at < bytes.Length; at += size)
        {
            last = last.Append(bytes.Slice(at, Math.Min(size, bytes.Length - at)));
        }

        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(ReadOnlyMemory<byte> memory, long at) => (Memory, RunningIndex) = (memory, at);

        public Segment Append(ReadOnlyMemory<byte> memory)
        {
            var next = new Segment(memory, RunningIndex + Memory.Length);
            Next = next;
            return next;
        }
    }
}
