using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Tests.Encryption;

namespace Marmot.Protocol.Tests.Groups;

[Trait("Spec", "MIP-01")]
public class GroupDataTests
{
    private static readonly JsonElement File = VectorFile.Read("group-data-0xf2ee.json");

    [Fact]
    public void Reads_and_writes_every_published_body()
    {
        var cases = File.GetProperty("cases");
        Assert.Equal(12, cases.GetArrayLength());
        foreach (var vector in cases.EnumerateArray())
        {
            var data = Read(vector);
            Check(vector.GetProperty("fields"), data);

            // Version 3 without a timer is read but written as version 2, as MDK does.
            if (vector.Text("name") == "v3-no-disappearing")
            {
                byte[] expected = vector.Bytes("encoded")[..^1];
                expected[1] = 2;
                Assert.Equal(expected, data.ToBytes());
            }
            else
            {
                Assert.Equal(vector.Text("encoded"), Convert.ToHexStringLower(data.ToBytes()));
            }
        }
    }

    [Fact]
    public void Reads_both_layouts_of_version_1()
    {
        var cases = File.GetProperty("legacy_v1");
        Assert.Equal(3, cases.GetArrayLength());
        foreach (var vector in cases.EnumerateArray())
        {
            Check(vector.GetProperty("fields"), Read(vector));
        }
    }

    [Fact]
    public void Refuses_every_published_bad_body()
    {
        var cases = File.GetProperty("invalid");
        Assert.Equal(15, cases.GetArrayLength());
        foreach (var vector in cases.EnumerateArray())
        {
            Assert.False(GroupData.TryRead(vector.Bytes("encoded"), out _, out _), vector.Text("name"));
        }
    }

    [Fact]
    public void Reads_the_known_part_of_a_later_version_and_never_rewrites_it()
    {
        var data = Read(Assert.Single(File.GetProperty("forward_compat").EnumerateArray()));
        Assert.True(data.IsFuture);
        Assert.Equal("future", data.Name);
        Assert.Equal(60ul, data.DisappearingSeconds);
        Assert.Throws<InvalidOperationException>(data.ToBytes);
    }

    [Fact]
    public void Refuses_every_truncation_and_every_extension_of_every_body()
    {
        foreach (var vector in File.GetProperty("cases").EnumerateArray().Concat(File.GetProperty("legacy_v1").EnumerateArray()))
        {
            byte[] body = vector.Bytes("encoded");
            for (int length = 0; length < body.Length; length += length < 600 ? 1 : 101)
            {
                // 42 bytes of the empty text layout are also a whole empty structure.
                bool whole = vector.Text("name") == "v1-spec-minimal" && length == 42;
                Assert.True(whole == GroupData.TryRead(body.AsSpan(0, length), out _, out _), $"{vector.Text("name")} cut at {length}");
            }

            Assert.False(GroupData.TryRead([.. body, 0], out _, out _));
        }
    }

    [Fact]
    public void Survives_a_hundred_thousand_mutations()
    {
        var random = new Random(3);
        byte[][] bodies = [.. File.GetProperty("cases").EnumerateArray().Select(c => c.Bytes("encoded")).Where(b => b.Length < 1000)];
        int read = 0;
        for (int i = 0; i < 100_000; i++)
        {
            byte[] body = [.. bodies[i % bodies.Length]];
            for (int flips = random.Next(1, 4); flips > 0; flips--)
            {
                body[random.Next(body.Length)] = (byte)random.Next(256);
            }

            // Whatever is read writes back to something that reads the same.
            if (GroupData.TryRead(body, out var data, out _) && !data.IsFuture)
            {
                read++;
                Assert.True(GroupData.TryRead(data.ToBytes(), out var again, out _));
                Assert.Equal((data.Name, data.Description, data.DisappearingSeconds), (again.Name, again.Description, again.DisappearingSeconds));
            }
        }

        Assert.InRange(read, 1000, 99_000);
    }

    [Fact]
    public void Writes_admins_and_relays_as_sorted_sets()
    {
        var low = Bytes32.ParseHex(new string('1', 64));
        var high = Bytes32.ParseHex(new string('e', 64));
        var data = new GroupData { NostrGroupId = low, Admins = [high, low, high], Relays = ["wss://b.example", "wss://a.example", "wss://b.example"] };
        Assert.True(GroupData.TryRead(data.ToBytes(), out var read, out _));
        Assert.Equal([low, high], read.Admins);
        Assert.Equal(["wss://a.example", "wss://b.example"], read.Relays);
        Assert.Equal(2, read.Version);
        Assert.True(GroupData.TryRead((data with { DisappearingSeconds = 60 }).ToBytes(), out read, out _));
        Assert.Equal(3, read.Version);
    }

    [Fact]
    public void Does_not_write_what_no_reader_takes()
    {
        var data = new GroupData { NostrGroupId = default };
        Assert.Throws<InvalidOperationException>((data with { DisappearingSeconds = 0 }).ToBytes);
        Assert.Throws<InvalidOperationException>((data with { ImageNonce = new byte[11] }).ToBytes);
    }

    [Fact]
    public void Prints_no_key()
    {
        var data = new GroupData { NostrGroupId = default, ImageKey = [0xAB, 0xCD], Name = "secret name" };
        Assert.DoesNotContain("secret", data.ToString(), StringComparison.Ordinal);
    }

    private static GroupData Read(JsonElement vector)
    {
        Assert.True(GroupData.TryRead(vector.Bytes("encoded"), out var data, out _), vector.Text("name"));
        return data;
    }

    private static void Check(JsonElement fields, GroupData data)
    {
        Assert.Equal(fields.GetProperty("version").GetInt32(), data.Version);
        Assert.Equal(fields.Text("nostr_group_id"), data.NostrGroupId.ToString());
        Assert.Equal(fields.Text("name"), data.Name);
        Assert.Equal(fields.Text("description"), data.Description);
        Assert.Equal(fields.GetProperty("admin_pubkeys").EnumerateArray().Select(a => a.GetString()), data.Admins.Select(a => a.ToString()));
        Assert.Equal(fields.GetProperty("relays").EnumerateArray().Select(r => r.GetString()), data.Relays);
        Assert.Equal(fields.Text("image_hash").Trim('0'), Convert.ToHexStringLower(data.ImageHash ?? []).Trim('0'));
        Assert.Equal(fields.Text("image_key").Trim('0'), Convert.ToHexStringLower(data.ImageKey ?? []).Trim('0'));
        Assert.Equal(fields.Text("image_nonce").Trim('0'), Convert.ToHexStringLower(data.ImageNonce ?? []).Trim('0'));
        Assert.Equal(fields.Text("image_upload_key"), Convert.ToHexStringLower(data.ImageUploadKey ?? []));
        var seconds = fields.GetProperty("disappearing_message_secs");
        Assert.Equal(seconds.ValueKind == JsonValueKind.Null ? string.Empty : seconds.ToString(), data.DisappearingSeconds.ToString());
    }
}
