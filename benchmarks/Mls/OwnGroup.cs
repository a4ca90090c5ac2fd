using System.Text;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;

namespace Marmot.Benchmarks.Mls;

/// <summary>This library. What is received has gone through bytes, and decoding counts.</summary>
internal static class OwnGroup
{
    private static readonly CipherSuite Suite = CipherSuite.X25519Aes128Ed25519;

    // What ts-mls lists by default, so that leaves have the same size.
    private static readonly Capabilities Supported = new([1], [1, 2, 3, 4, 5, 6, 7], [], [], [CredentialType.Basic, CredentialType.X509]);

    public static KeyPackageSecrets Generate(string name)
        =>
            KeyPackageSecrets.Create(Suite, Suite.GenerateSignatureKeyPair(), Credential.Basic(Encoding.UTF8.GetBytes(name)), Supported,
                new Lifetime(0, uint.MaxValue));

    public static MlsMessage Wire(byte[] bytes) =>
        MlsMessage.TryRead(bytes, out var message, out var error) ? message! : throw new InvalidOperationException(error.ToString());

    public static StagedCommit Staged(Group group, byte[] commit) => ((ReceivedCommit)group.Process(Wire(commit))).Commit;

    public static CommitRequest Add(params IEnumerable<KeyPackageSecrets> packages)
        =>
            new()
            {
                Proposals = [
                    .. packages.Select(p =>
                        new AddProposal(KeyPackage.TryRead(p.KeyPackage.ToBytes(), out var read, out _) ? read! : throw new InvalidOperationException()))
                ],
            };

    public static void Round(int members, Figures figures)
    {
        using var own = figures.Time("generate", () => Generate("alice"), 5);
        using var alice = figures.Time("create", () => Group.Create("group"u8.ToArray(), own, []), 5);

        var packages = Enumerable.Range(1, members - 1).Select(i => Generate($"member {i}")).ToArray();
        var adds = Add(packages);
        var added = figures.Time("add", () => alice.Commit(adds));
        var welcome = added.Welcome!.ToBytes();
        figures.Size("welcomeBytes", welcome.Length);
        alice.Merge(added);
        using var bob = figures.Time("join", () => Group.Join(Wire(welcome), packages[0]));

        // Alice's commit is thrown away again, so that the next rows run at n members.
        var one = Add(Generate("one more"));
        var addOne = figures.Time("addOne", () => alice.Commit(one));
        var bytes = addOne.Message!.ToBytes();
        bob.Discard(figures.Time("processAddOne", () => Staged(bob, bytes)));
        alice.Discard(addOne);

        // ts-mls has no second step; merging belongs to the row.
        var update = figures.Time("update", () => { var commit = alice.Commit(new CommitRequest { ForcePath = true }); alice.Merge(commit); return commit; });
        var updateBytes = update.Message!.ToBytes();
        _ = figures.Time("processUpdate", () => { var commit = Staged(bob, updateBytes); bob.Merge(commit); return commit; });
        alice.ForgetRollback();
        figures.Size("stateBytes", alice.Serialize().Length);

        var data = new byte[200];
        var messages = new Queue<byte[]>();
        figures.Time("encrypt", () => { messages.Enqueue(alice.Protect(data).ToBytes()); return 0; }, 50);
        figures.Time("decrypt", () => bob.Process(Wire(messages.Dequeue())), 50);
        foreach (var package in packages) package.Dispose();
    }
}
