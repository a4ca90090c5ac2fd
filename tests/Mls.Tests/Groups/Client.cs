using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tests.Groups;

/// <summary>A client of the tests: keys, key packages, one group. Everything it sends goes through bytes.</summary>
internal sealed class Client(string name, ushort suite = 1, GroupRules? rules = null)
{
    public const ushort GroupData = 0xf2ee;
    public static readonly Capabilities Supported = Capabilities.Of([GroupData, ExtensionType.LastResort], [ProposalType.SelfRemove]);
    public static readonly Extension[] MarmotExtensions = [
        new RequiredCapabilities([GroupData], [ProposalType.SelfRemove], []).ToExtension(), new(GroupData, [0, 2, 7])
    ];

    public CipherSuite Suite { get; } = CipherSuite.Get(suite);
    public string Name => name;
    public KeyPair Signature { get; } = CipherSuite.Get(suite).GenerateSignatureKeyPair();
    public SecretBytes SigningKey => Suite.Signature.Prepare(Signature.PrivateKey);
    public GroupRules Rules { get; } = rules ?? new GroupRules();
    public KeyPackageSecrets? Package { get; private set; }
    public Group Group { get; set; } = null!;

    public KeyPackage NewPackage(Capabilities? capabilities = null, Lifetime? lifetime = null, Extension[]? leafExtensions = null)
    {
        capabilities ??= Supported;
        Package = KeyPackageSecrets.Create(Suite, Signature, Credential.Basic(System.Text.Encoding.UTF8.GetBytes(name)), capabilities, lifetime
            ?? Lifetime.Unlimited,
            capabilities.SupportsExtension(ExtensionType.LastResort) ? [new Extension(ExtensionType.LastResort, [])] : [], leafExtensions);
        Assert.True(KeyPackage.TryRead(Package.KeyPackage.ToBytes(), out var read, out _));
        Assert.Equal(MlsError.None, read!.Verify(null));
        return read;
    }

    public Client Creates(string id = "group", Extension[]? extensions = null)
    {
        NewPackage();
        Group = Group.Create(System.Text.Encoding.UTF8.GetBytes(id), Package!, extensions ?? MarmotExtensions, Rules);
        return this;
    }

    public void Joins(MlsMessage welcome, Group? predecessor = null) =>
        Group = Group.Join(Wire(welcome), Package!, new JoinRequest { Rules = Rules, Predecessor = predecessor });

    public static MlsMessage Wire(MlsMessage message)
    {
        Assert.True(MlsMessage.TryRead(message.ToBytes(), out var read, out var error), error.ToString());
        return read!;
    }

    /// <summary>Processes and merges a commit.</summary>
    public StagedCommit Follows(MlsMessage commit)
    {
        var staged = Assert.IsType<ReceivedCommit>(Group.Process(Wire(commit))).Commit;
        Group.Merge(staged);
        return staged;
    }

    /// <summary>A group of these clients, made by the first, the others added in one commit.</summary>
    public static Client[] InOneGroup(int count, ushort suite = 1, Extension[]? extensions = null, GroupRules? rules = null)
    {
        var clients = Enumerable.Range(0, count).Select(i => new Client($"client {i}", suite, rules)).ToArray();
        clients[0].Creates(extensions: extensions);
        if (count == 1) return clients;
        var commit = clients[0].Group.Commit(new CommitRequest { Proposals = [.. clients.Skip(1).Select(c => new AddProposal(c.NewPackage()))] });
        clients[0].Group.Merge(commit);
        foreach (var client in clients.Skip(1)) client.Joins(commit.Welcome!);
        AssertAgree(clients);
        return clients;
    }

    /// <summary>One commits, the others follow.</summary>
    public static StagedCommit Commits(Client committer, IEnumerable<Client> others, CommitRequest request)
    {
        var commit = committer.Group.Commit(request);
        committer.Group.Merge(commit);
        foreach (var other in others.Where(o => o != committer)) other.Follows(commit.Message!);
        return commit;
    }

    public static void AssertAgree(IEnumerable<Client> clients)
    {
        Group? first = null;
        foreach (var client in clients)
        {
            first ??= client.Group;
            Assert.Equal(first.Epoch, client.Group.Epoch);
            Assert.Equal(first.TreeHash, client.Group.TreeHash);
            Assert.Equal(first.EpochAuthenticator, client.Group.EpochAuthenticator);
            Assert.Equal(first.Export("marmot", "group-event"u8, 32), client.Group.Export("marmot", "group-event"u8, 32));
            Assert.True(client.Group.Current.Keys.Match(client.Group.Current.Tree));
            Assert.True(client.Group.Current.Tree.HasValidParentHashes());
        }
    }

    public static void AssertTalk(IReadOnlyCollection<Client> clients)
    {
        foreach (var sender in clients)
        {
            var message = sender.Group.Protect(System.Text.Encoding.UTF8.GetBytes(sender.Name), [9], padTo: 64, evenWithPendingProposals: true);
            foreach (var receiver in clients.Where(c => c != sender))
            {
                var received = Assert.IsType<ReceivedApplication>(receiver.Group.Process(Wire(message)));
                Assert.Equal(sender.Name, System.Text.Encoding.UTF8.GetString(received.Data));
                Assert.Equal(sender.Name, System.Text.Encoding.UTF8.GetString(received.Sender.Credential.Content));
                Assert.Equal(sender.Group.OwnLeaf, received.SenderLeaf);
            }
        }
    }

    public static MlsError Refusal(Action action) => Assert.Throws<MlsException>(action).Error;
}
