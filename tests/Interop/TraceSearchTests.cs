using System.Security.Cryptography;
using System.Text;

namespace Marmot.Interop;

public sealed class TraceSearchTests
{
    [Fact]
    public void Finds_a_secret_in_each_form_and_nothing_where_there_is_none()
    {
        byte[] secret = RandomNumberGenerator.GetBytes(32);
        var search = new TraceSearch("token", secret);

        Assert.Equal(["token, raw"], search.FindIn([1, 2, .. secret, 3]));
        Assert.Equal(["token, hex"], search.FindIn(Encoding.ASCII.GetBytes("x" + Convert.ToHexStringLower(secret))));
        Assert.Equal(["token, HEX"], search.FindIn(Encoding.ASCII.GetBytes("x" + Convert.ToHexString(secret))));
        for (int before = 0; before < 7; before++)
        {
            byte[] message = [.. RandomNumberGenerator.GetBytes(before), .. secret, .. RandomNumberGenerator.GetBytes(before)];
            Assert.Contains("token, base64", search.FindIn(Encoding.ASCII.GetBytes(Convert.ToBase64String(message))));
        }

        Assert.Empty(search.FindIn(RandomNumberGenerator.GetBytes(100_000)));
    }
}
