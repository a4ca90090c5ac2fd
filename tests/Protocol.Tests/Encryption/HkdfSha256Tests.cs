using System.Security.Cryptography;
using Marmot.Protocol.Encryption;

namespace Marmot.Protocol.Tests.Encryption;

[Trait("Spec", "RFC 5869")]
public class HkdfSha256Tests
{
    // RFC 5869, appendix A, test cases 1 to 3: ikm, salt, info, prk, okm.
    public static TheoryData<string, string, string, string, string> Published => new()
    {
        {
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        },
        {
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748"
                + "494a4b4c4d4e4f",
            "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8"
                + "a9aaabacadaeaf",
            "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8"
                + "f9fafbfcfdfeff",
            "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c1"
                + "4c01d5c1f3434f1d87"
        },
        {
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
            "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
        },
    };

    [Theory]
    [MemberData(nameof(Published))]
    public void Derives_the_published_keys(string ikm, string salt, string info, string prk, string okm)
    {
        byte[] extracted = new byte[HkdfSha256.HashSize];
        HkdfSha256.Extract(Convert.FromHexString(salt), Convert.FromHexString(ikm), extracted);
        Assert.Equal(prk, Convert.ToHexStringLower(extracted));

        byte[] output = new byte[okm.Length / 2];
        HkdfSha256.Expand(extracted, Convert.FromHexString(info), output);
        Assert.Equal(okm, Convert.ToHexStringLower(output));

        HkdfSha256.DeriveKey(Convert.FromHexString(ikm), Convert.FromHexString(salt), Convert.FromHexString(info), output);
        Assert.Equal(okm, Convert.ToHexStringLower(output));
    }

    [Fact]
    public void Agrees_with_the_framework_at_every_output_length_and_around_the_stack_bound()
    {
        var random = new Random(1);
        byte[] prk = new byte[32];
        random.NextBytes(prk);
        foreach (int infoLength in new[] { 0, 1, 32, 478, 479, 480, 5000, 32768 })
        {
            byte[] info = new byte[infoLength];
            random.NextBytes(info);
            foreach (int length in new[] { 0, 1, 31, 32, 33, 64, 76, 100, HkdfSha256.MaxOutputSize })
            {
                byte[] expected = length == 0 ? [] : HKDF.Expand(HashAlgorithmName.SHA256, prk, length, info);
                byte[] actual = new byte[length];
                HkdfSha256.Expand(prk, info, actual);
                Assert.Equal(expected, actual);
            }
        }
    }

    [Fact]
    public void Expands_with_info_longer_than_the_framework_takes()
    {
        byte[] prk = new byte[32];
        byte[] info = new byte[500_000];
        byte[] output = new byte[32];
        HkdfSha256.Expand(prk, info, output);

        // RFC 5869, 2.3: the first block is HMAC(prk, info | 01).
        Assert.Equal(HMACSHA256.HashData(prk, (byte[])[.. info, 1]), output);
    }

    [Fact]
    public void Refuses_more_than_255_blocks() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => HkdfSha256.Expand(new byte[32], [], new byte[HkdfSha256.MaxOutputSize + 1]));

    [Fact]
    public void Derives_without_allocation()
    {
        byte[] key = new byte[32];
        byte[] output = new byte[76];
        HkdfSha256.DeriveKey(key, "salt"u8, "info"u8, output);
        Assert.Equal(0, Allocation.Of(() => HkdfSha256.DeriveKey(key, "salt"u8, "info"u8, output)));
    }
}
