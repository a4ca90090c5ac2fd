using System.IO.Compression;
using System.Text.Json;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tests.Groups;

/// <summary>Groups with application data components that other implementations made: every member that needs only its keys and what was sent comes to the
/// recorded states.</summary>
[Trait("Spec", "draft-ietf-mls-extensions")]
public class AppDataVectorTests
{
    private static JsonElement Load(string name)
    {
        using var stream = new GZipStream(File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Vectors", "adopted", name + ".json.gz")),
            CompressionMode.Decompress);
        using var document = JsonDocument.Parse(stream);
        return document.RootElement.Clone();
    }

    private static MlsMessage Message(JsonElement item, string name = "mls_message")
    {
        var bytes = item.Bytes(name);
        Assert.True(MlsMessage.TryRead(bytes, out var message, out var error), error.ToString());
        Assert.Equal(bytes, message!.ToBytes());
        return message;
    }

    private static KeyPackageSecrets Keys(JsonElement account, CipherSuite suite)
    {
        var package = account.GetProperty("key_package");
        var read = Message(package).KeyPackage!;
        Assert.Equal(MlsError.None, read.Verify(null));
        Assert.True(read.IsLastResort);
        Assert.Equal(package.Bytes("ref"), read.Reference());
        return new KeyPackageSecrets(read, package.Secret("init_private"), package.Secret("leaf_private"),
            suite.Signature.Prepare(account.Bytes("mls_signature_private").AsSpan(0, 32)));
    }

    private static void AssertState(JsonElement life, string label, Group group)
    {
        var state = life.GetProperty("states").GetProperty(label);
        Assert.Equal(state.GetProperty("group_context").GetString(), Convert.ToHexStringLower(group.Current.Context.Encoded));
        Assert.Equal(state.Bytes("tree_hash"), group.TreeHash);
        Assert.Equal(state.Bytes("epoch_authenticator"), group.EpochAuthenticator);
        Assert.Equal(state.Bytes("interop_check"), group.Export("interop-check", "epoch"u8, 16));
        Assert.Equal(state.Bytes("group_event_key"), group.Export("marmot", "group-event"u8, 32));
        Assert.Equal(state.GetProperty("members").EnumerateArray().Select(m => m.GetProperty("leaf").GetInt32()), group.Members.Select(m => m.Index));

        Assert.True(AppDataDictionary.TryFind(group.Extensions, out var dictionary));
        Assert.Equal(state.GetProperty("components").EnumerateObject().Select(c => Convert.ToUInt16(c.Name, 16)), dictionary.Components);
        foreach (var component in state.GetProperty("components").EnumerateObject())
        {
            Assert.Equal(component.Value.GetString(), Convert.ToHexStringLower(dictionary[Convert.ToUInt16(component.Name, 16)]!));
        }

        Assert.Equal(state.Bytes("group_context_dictionary"), dictionary.ToExtension().Data);
    }

    private static Group Restored(Group group)
    {
        Assert.True(Group.TryRestore(group.Serialize(), null, out var restored));
        return restored!;
    }

    /// <summary>Joins and follows until the end or the own removal; gives the group in its last state, or null when it was removed.</summary>
    private static Group? Replay(JsonElement life, string member, Func<int, bool>? skip = null)
    {
        Group? group = null;
        var at = -1;
        foreach (var step in life.GetProperty("steps").EnumerateArray())
        {
            at++;
            if (skip?.Invoke(at) == true) continue;
            var kind = step.GetProperty("step").GetString();
            if (group is null)
            {
                if (kind != "welcome" || step.GetProperty("to").GetString() != member) continue;
                using var keys = Keys(life.GetProperty("accounts").GetProperty(member), CipherSuite.X25519Aes128Ed25519);
                group = Group.Join(Message(step), keys);
                AssertState(life, step.GetProperty("after").GetString()!, group);
                continue;
            }
            if (kind is "welcome" or "create") continue;
            if (step.GetProperty("by").GetString() == member)
            {
                Assert.False(group.TryProcess(Message(step), out _, out var own));
                Assert.Equal(MlsError.OwnMessage, own);
                continue;
            }
            group = Restored(group);
            var received = group.Process(Message(step));
            switch (kind)
            {
                case "message":
                    Assert.Equal(step.Bytes("plaintext"), Assert.IsType<ReceivedApplication>(received).Data);
                    break;
                case "proposal":
                    Assert.IsType<ReceivedProposal>(received);
                    break;
                default:
                    var commit = Assert.IsType<ReceivedCommit>(received).Commit;
                    group.Merge(commit);
                    if (commit.RemovesSelf) return null;
                    AssertState(life, step.GetProperty("after").GetString()!, group);
                    break;
            }
        }
        return group;
    }

    [Theory]
    [InlineData("life-basic")]
    [InlineData("life-leave")]
    [InlineData("life-disband")]
    public void Receivers_follow_a_group_of_another_implementation_from_welcome_to_end(string file)
    {
        var life = Load(file);
        var members = life.GetProperty("replay_as").EnumerateArray().Select(m => m.GetString()!).ToArray();
        Assert.NotEmpty(members);
        foreach (var member in members) Replay(life, member);
    }

    /// <summary>What OpenMLS takes and the draft forbids, with the error here.</summary>
    private static readonly Dictionary<string, MlsError> StricterThanOpenMls = new() { ["update-and-remove-same-component"] = MlsError.BadAppDataUpdate };

    /// <summary>What is valid MLS and OpenMLS was told not to take in that group.</summary>
    private static readonly string[] LaxerThanOpenMls = ["commit-as-private-message"];

    [Theory]
    [InlineData("accepted-controls")]
    [InlineData("refused-commits")]
    [InlineData("refused-leaves")]
    public void Single_messages_are_taken_where_they_are_valid_mls_and_refused_where_they_are_not(string file)
    {
        var life = Load(file);
        var member = life.GetProperty("replay_as")[0].GetString()!;
        var cases = life.GetProperty("cases").EnumerateArray().ToArray();
        var special = cases.SelectMany(c => c.GetProperty("before_it").EnumerateArray()).Select(i => i.GetInt32()).ToHashSet();
        var (taken, refused) = (0, 0);
        foreach (var item in cases)
        {
            var id = item.GetProperty("id").GetString()!;
            var before = item.GetProperty("before_it").EnumerateArray().Select(i => i.GetInt32()).ToHashSet();
            var group = Replay(life, member, at => special.Contains(at) && !before.Contains(at))!;
            var state = group.Serialize();
            var verdict = item.GetProperty("openmls_alone").GetString() ?? "ok";
            var isValid = (verdict == "ok" && !StricterThanOpenMls.ContainsKey(id)) || LaxerThanOpenMls.Contains(id);
            Assert.True(isValid == group.TryProcess(Message(item), out var received, out var refusal), $"{id}: {refusal}, {verdict}");
            if (!isValid)
            {
                refused++;
                Assert.Equal(state, group.Serialize());
                var expected = StricterThanOpenMls.TryGetValue(id, out var own)
                    ? own
                    : id.StartsWith("gce-", StringComparison.Ordinal)
                    ? MlsError.AppDataByExtensions
                    : MlsError.UnsupportedProposal;
                Assert.Equal(expected, refusal);
                continue;
            }
            taken++;
            if (received is ReceivedCommit { Commit: var commit } && item.GetProperty("after").GetString() is { } after)
            {
                group.Merge(commit);
                AssertState(life, after, group);
            }
        }
        Assert.Equal(file switch { "accepted-controls" => (12, 0), "refused-commits" => (26, 3), _ => (14, 1) }, (taken, refused));
    }

    [Fact]
    public void The_group_of_a_second_implementation_is_joined_and_followed()
    {
        var vector = Load("current-profile");
        var suite = CipherSuite.X25519Aes128Ed25519;
        var joiner = vector.GetProperty("joiner");
        var package = Message(joiner, "key_package").KeyPackage!;
        Assert.Equal(MlsError.None, package.Verify(null));
        using var keys = new KeyPackageSecrets(package, joiner.Secret("init_priv"), joiner.Secret("encryption_priv"),
            suite.Signature.Prepare(joiner.Bytes("signature_priv").AsSpan(0, 32)));
        var group = Group.Join(Message(vector, "welcome"), keys);

        Assert.True(AppDataDictionary.TryFind(group.Extensions, out var dictionary));
        var expected = vector.GetProperty("group_state").GetProperty("epoch1_group_context_dictionary").EnumerateObject().ToArray();
        Assert.Equal(expected.Select(c => Convert.ToUInt16(c.Name, 16)), dictionary.Components);
        foreach (var component in expected)
        {
            Assert.Equal(component.Value.GetString(), Convert.ToHexStringLower(dictionary[Convert.ToUInt16(component.Name, 16)]!));
        }

        Assert.True(ComponentsList.TryRead(dictionary[ComponentId.AppComponents], out var required));
        Assert.Equal([0x8001, 0x8003, 0x8004, 0x8009, 0x800c], required.Components);
        var exporter = vector.GetProperty("exporters").GetProperty("group_event");
        Assert.Equal(exporter.Bytes("secret"), group.Export("marmot", exporter.Bytes("context"), 32));

        foreach (var message in vector.GetProperty("app_messages_alice_to_bob").EnumerateArray())
        {
            Assert.Equal(message.Bytes("plaintext"), Assert.IsType<ReceivedApplication>(group.Process(Message(message, "private_message"))).Data);
        }

        // The commit that added the joiner: of the epoch before, so it is only read.
        var commit = Message(vector, "add_commit_public_message").Public!.Content.Content.Commit!;
        Assert.NotNull(commit.Path);
        Assert.Equal(package.Reference(), Assert.IsType<AddProposal>(Assert.Single(commit.Proposals).Proposal).KeyPackage.Reference());
    }
}
