using System.Security.Cryptography;
using System.Text.Json;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Tests.Encryption;

namespace Marmot.Protocol.Tests.Groups;

[Trait("Spec", "MIP-01")]
public class GroupImageTests
{
    private static readonly JsonElement File = VectorFile.Read("group-image.json");
    private static readonly byte[] Image = File.Bytes("plaintext");

    [Theory]
    [InlineData("v1")]
    [InlineData("v2")]
    public void Opens_the_published_image(string generation)
    {
        var vector = File.GetProperty(generation);
        Assert.True(GroupImage.TryDecrypt(Data(vector.Bytes("image_hash")), vector.Bytes("ciphertext"), out byte[]? image));
        Assert.Equal(Image, image);
    }

    [Fact]
    public void Encrypts_the_published_image_as_version_2()
    {
        var vector = File.GetProperty("v2");
        byte[] key = new byte[32];
        GroupImage.DeriveKey(File.Bytes("image_key_field"), key);
        Assert.Equal(vector.Bytes("encryption_key"), key);
        Assert.Equal(vector.Bytes("ciphertext"), GroupImage.Encrypt(Image, File.Bytes("image_key_field"), File.Bytes("image_nonce")));
    }

    [Fact]
    public void Derives_the_published_upload_keys()
    {
        var data = Data(new byte[32]);
        using var key = GroupImage.DeriveUploadKey(data);
        Assert.NotNull(key);
        Assert.Equal(File.GetProperty("v2").Text("upload_pubkey"), key.PublicKey.ToString());
        byte[] secret = new byte[32];
        key.CopyTo(secret);
        Assert.Equal(File.GetProperty("v2").Bytes("upload_secret"), secret);

        var legacy = GroupImage.DeriveLegacyUploadKeys(data);
        Assert.Equal(File.GetProperty("v1").Text("upload_pubkey_expand_only"), legacy[0].PublicKey.ToString());
        legacy[1].CopyTo(secret);
        Assert.Equal(File.GetProperty("v1").Bytes("upload_secret_mdk_extract_expand"), secret);
        foreach (var old in legacy)
        {
            old.Dispose();
        }

        Assert.Null(GroupImage.DeriveUploadKey(data with { ImageUploadKey = null }));
        Assert.Empty(GroupImage.DeriveLegacyUploadKeys(data with { ImageKey = null }));
    }

    [Fact]
    public void Returns_what_was_encrypted_and_refuses_any_change()
    {
        var data = GroupImage.Encrypt(Image, new GroupData { NostrGroupId = default }, out byte[] blob);
        Assert.True(GroupImage.TryDecrypt(data, blob, out byte[]? image));
        Assert.Equal(Image, image);
        Assert.True(GroupData.TryRead(data.ToBytes(), out var read, out _));
        Assert.True(GroupImage.TryDecrypt(read, blob, out _));

        Assert.False(GroupImage.TryDecrypt(data with { ImageKey = new byte[32] }, blob, out _));
        Assert.False(GroupImage.TryDecrypt(data with { ImageHash = null }, blob, out _));
        for (int length = 0; length < blob.Length; length++)
        {
            // Even when the group data names the cut blob's hash.
            byte[] cut = blob[..length];
            Assert.False(GroupImage.TryDecrypt(data, cut, out _));
            Assert.False(GroupImage.TryDecrypt(data with { ImageHash = SHA256.HashData(cut) }, cut, out _));
        }
    }

    private static GroupData Data(byte[] hash) => new()
    {
        NostrGroupId = default,
        ImageHash = hash,
        ImageKey = File.Bytes("image_key_field"),
        ImageNonce = File.Bytes("image_nonce"),
        ImageUploadKey = File.Bytes("image_upload_key_field"),
    };
}
