using Marmot.Protocol.Encryption;

namespace Marmot.Protocol.Tests.Encryption;

[Trait("Spec", "RFC 4648")]
public class StrictBase64Tests
{
    [Fact]
    public void Reads_what_the_framework_writes_at_every_length()
    {
        var random = new Random(2);
        for (int length = 0; length < 200; length++)
        {
            byte[] data = new byte[length];
            random.NextBytes(data);
            byte[] text = System.Text.Encoding.ASCII.GetBytes(Convert.ToBase64String(data));
            byte[] decoded = new byte[length];

            Assert.Equal(text.Length, StrictBase64.EncodedLength(length));
            Assert.Equal(length, StrictBase64.DecodedLength(text));
            Assert.True(StrictBase64.TryDecode(text, decoded, out int written));
            Assert.Equal(length, written);
            Assert.Equal(data, decoded);
        }
    }

    [Fact]
    public void Accepts_exactly_one_text_for_each_value()
    {
        // All two-digit quanta with two pads: only those whose four unused bits are zero decode.
        const string Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        byte[] buffer = new byte[3];
        for (int first = 0; first < 64; first++)
        {
            for (int second = 0; second < 64; second++)
            {
                byte[] two = [(byte)Alphabet[first], (byte)Alphabet[second], (byte)'=', (byte)'='];
                Assert.Equal(second % 16 == 0, StrictBase64.TryDecode(two, buffer, out _));
                byte[] three = [(byte)'A', (byte)Alphabet[first], (byte)Alphabet[second], (byte)'='];
                Assert.Equal(second % 4 == 0, StrictBase64.TryDecode(three, buffer, out _));
            }
        }
    }

    [Theory]
    [InlineData("AAA")]
    [InlineData("A===")]
    [InlineData("====")]
    [InlineData("AA=A")]
    [InlineData("=AAA")]
    [InlineData("AA-_")]
    [InlineData("AAAA\n\n\n\n")]
    [InlineData("AA AA AA")]
    [InlineData(" AAAA   ")]
    [InlineData("AA==    ")]
    [InlineData("AA= =AAA")]
    [InlineData("AA==AAAA")]
    [InlineData("AAA\u00e9")]
    public void Refuses_anything_else(string text) =>
        Assert.False(StrictBase64.TryDecode(System.Text.Encoding.UTF8.GetBytes(text), new byte[64], out _));

    [Fact]
    public void Refuses_a_destination_that_is_too_short() => Assert.False(StrictBase64.TryDecode("AAAA"u8, new byte[2], out _));
}
