using Marmot.ProviderSimulators.Http2;

namespace Marmot.ProviderSimulators.Tests.Http2;

[Trait("Spec", "RFC 7541")]
public sealed class HpackDecoderTests
{
    /// <summary>Written by nghttp2 through Node.js 'http2': header x is 'a', every octet from 0x21 to 0xff but 0x7f, and 'e' 900 times, Huffman
    /// coded.</summary>
    private static readonly string EveryOctet =
        "8482418b089d5c0b8170dc684dbe1f86400178ff89071ff1fcffd7fe55f8ff5fd7f7f3fefe965d80044cb4db8ebcfdcfbfff907fdff9ffa86edebf83" +
        "0e2c7932e6cfa34ead7b36eedfc38f2fce7fbffbfffe1ffcfff22fffa38c921659a7374eb45351ebed62136f7f1e7d7bfffdff3ffdffeffff37fffa5" +
        "fffcffffd1fffe9ffffa9fffeaffffd9ffff5bfffed7fffdbffffb9ffff77fffef7ffff5ffffdfffffecffffedffff5fffff07ffff77fffe1ffffc5f" +
        "fff8fffff27fff73fffd8ffffcbfffecffffe6ffffcfffffdffffed7fff77fffa7fffdbffff73ffff47fffe9fffef7fffeaffff77fffdefffff0fffe" +
        "fffffbfffffafffff67fff83fffc3ffff07fff8bffff6ffffc3ffffbbffff7ffff57fffc5ffff1ffffc9ffffc3fffe5ffff9bffff8fffffc1fffff0f" +
        "fff5ffff1ffff9fffff97fffd1ffffecfffff8bffffe3fffff93ffffef7ffffdffffff97ffffc7ffffdbfffcbfffc7fffff37ffffe0fffffc3fffff3" +
        "fffffe2fffff2ffff27fff97ffffe8fffffa7ffffff7fffff1fffffe4fffffcbfffd9ffffe7fffdbfffe6ffffa7fffcffffe8ffffe7ffff57fffd7ff" +
        "ffeefffff7fffffa7ffffafffffd5ffffd3ffffebfffffcdfffff67ffffdbfffff9ffffff47ffffe9fffffd5fffffafffffffbfffff67ffffedfffff" +
        "ddfffffbffffff87ffffdc" +
        string.Concat(Enumerable.Repeat("5294a5294a", 112)) + "5294bf";

    private static string Decode(HpackDecoder decoder, string hex)
    {
        Assert.True(decoder.TryDecode(Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal)), out var headers));
        return string.Join("|", headers.Select(header => header.Key + ": " + header.Value));
    }

    [Theory]
    [InlineData("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65")]
    [InlineData("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "8286 84be 5886 a8eb 1064 9cbf", "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf")]
    public void Reads_the_requests_of_appendix_C_3_and_C_4(string first, string second, string third)
    {
        var decoder = new HpackDecoder();
        Assert.Equal(":method: GET|:scheme: http|:path: /|:authority: www.example.com", Decode(decoder, first));
        Assert.Equal(":method: GET|:scheme: http|:path: /|:authority: www.example.com|cache-control: no-cache", Decode(decoder, second));
        Assert.Equal(":method: GET|:scheme: https|:path: /index.html|:authority: www.example.com|custom-key: custom-value", Decode(decoder, third));
    }

    [Fact]
    public void Evicts_from_a_small_table_as_in_appendix_C_6()
    {
        var decoder = new HpackDecoder(256);
        Assert.Equal(
            ":status: 302|cache-control: private|date: Mon, 21 Oct 2013 20:13:21 GMT|location: https://www.example.com",
            Decode(decoder,
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3"));
        Assert.Equal(
            ":status: 307|cache-control: private|date: Mon, 21 Oct 2013 20:13:21 GMT|location: https://www.example.com",
            Decode(decoder, "4883 640e ffc1 c0bf"));
        Assert.Equal(
            ":status: 200|cache-control: private|date: Mon, 21 Oct 2013 20:13:22 GMT|location: https://www.example.com|content-encoding: gzip|set-cookie: "
                + "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            Decode(decoder,
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 "
                    + "72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07"));
        // Three entries are left: set-cookie, content-encoding, date.
        Assert.Equal("date: Mon, 21 Oct 2013 20:13:22 GMT", Decode(decoder, "c0"));
        Assert.False(decoder.TryDecode([0xc1], out _));
    }

    [Fact]
    public void Reads_every_octet_that_another_encoder_wrote()
    {
        Assert.True(new HpackDecoder().TryDecode(Convert.FromHexString(EveryOctet), out var headers));
        var octets = string.Concat(Enumerable.Range(0x21, 0xdf).Where(octet => octet != 0x7f).Select(octet => (char)octet));
        Assert.Equal("a" + octets + new string('e', 900), headers.Single(header => header.Key == "x").Value);
    }

    [Fact]
    public void Refuses_or_reads_every_cut_and_never_throws()
    {
        var block = Convert.FromHexString(EveryOctet);
        // A cut behind a whole field is a shorter list: behind none, :path, :method, :authority and :scheme.
        var whole = Enumerable.Range(0, block.Length).Count(length => new HpackDecoder().TryDecode(block.AsSpan(0, length), out _));
        Assert.Equal(5, whole);
    }

    [Theory]
    [InlineData("80")] // index 0
    [InlineData("be")] // empty dynamic table
    [InlineData("ffffffffff7f")] // an integer without end
    [InlineData("823f")] // a table size after a field, cut
    [InlineData("8220")] // a table size after a field
    [InlineData("3fe21f")] // a table size above the limit (4,097)
    [InlineData("0001780566")] // a value longer than the block
    [InlineData("000178821fff")] // padding of more than 7 bits
    [InlineData("0001788118")] // padding that is not all ones: 'a', then 000
    [InlineData("00017884ffffffff")] // end-of-string
    public void Refuses_a_broken_block(string hex) => Assert.False(new HpackDecoder().TryDecode(Convert.FromHexString(hex), out _));

    [Fact]
    public void Refuses_a_list_that_unfolds_without_end()
    {
        // One 4,000-byte entry, then its index over and over: RFC 7541, 7.3 leaves the bound to the reader.
        var block = new List<byte> { 0x40, 0x01, (byte)'x', 0x7f, 0xa1, 0x1e };
        block.AddRange(Enumerable.Repeat((byte)'y', 4000));
        block.AddRange(Enumerable.Repeat((byte)0xbe, 1000));
        Assert.False(new HpackDecoder().TryDecode(block.ToArray(), out _));
        Assert.True(new HpackDecoder().TryDecode(block.ToArray().AsSpan(0, 4010), out var headers));
        Assert.Equal(5, headers.Count);
    }

    [Fact]
    public void Reads_what_the_encoder_writes()
    {
        var headers = new List<KeyValuePair<string, string>> { new("apns-id", "x"), new("long", new string('v', 127)), new("longer", new string('w', 5000)),
            new("empty", "") };
        Assert.True(new HpackDecoder().TryDecode(HpackEncoder.Encode(410, headers), out var read));
        Assert.Equal([new(":status", "410"), .. headers], read);
    }
}
