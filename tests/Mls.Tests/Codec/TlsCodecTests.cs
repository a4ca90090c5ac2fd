using Marmot.Mls.Codec;

namespace Marmot.Mls.Tests.Codec;

[Trait("Spec", "RFC 9420, 2.1")]
public class TlsCodecTests
{
    [Fact]
    public void Reads_every_length_header_of_the_vectors_and_writes_the_same_bytes()
    {
        foreach (var item in VectorFile.Load("deserialization"))
        {
            var header = item.Bytes("vlbytes_header");
            var reader = new TlsReader(header);
            var length = reader.ReadVarint();
            Assert.Equal(item.GetProperty("length").GetInt32(), length);
            Assert.Equal(0, reader.Remaining);
            var writer = new TlsWriter();
            writer.WriteVarint(length);
            Assert.Equal(header, writer.ToArray());
        }
    }

    [Theory]
    [InlineData("4000")]
    [InlineData("403f")]
    [InlineData("80000000")]
    [InlineData("80003fff")]
    [InlineData("c0")]
    [InlineData("ffffffffffffffff")]
    [InlineData("40")]
    [InlineData("800000")]
    [InlineData("")]
    public void Refuses_headers_that_are_not_minimal_have_prefix_11_or_are_cut(string hex)
        => Assert.Throws<MlsException>(() => new TlsReader(Convert.FromHexString(hex)).ReadVarint());

    [Fact]
    public void Refuses_a_length_beyond_the_end_before_it_allocates()
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<MlsException>(() => new TlsReader([0xbf, 0xff, 0xff, 0xff, 1]).ReadBytes());
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100_000);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(63)]
    [InlineData(64)]
    [InlineData(16383)]
    [InlineData(16384)]
    [InlineData(70000)]
    public void A_vector_closed_late_has_the_same_bytes_as_one_of_known_length(int length)
    {
        var content = Enumerable.Range(0, length).Select(i => (byte)i).ToArray();
        var late = new TlsWriter(1);
        late.WriteByte(7);
        var start = late.BeginVector();
        late.WriteFixed(content);
        late.EndVector(start);
        late.WriteByte(9);
        var known = new TlsWriter();
        known.WriteByte(7);
        known.WriteOpaque(content);
        known.WriteByte(9);
        Assert.Equal(known.ToArray(), late.ToArray());
    }

    [Fact]
    public void Refuses_presence_bytes_other_than_zero_and_one()
        => Assert.Throws<MlsException>(() => new TlsReader([2]).ReadPresence());
}
