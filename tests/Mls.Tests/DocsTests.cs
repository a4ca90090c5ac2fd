using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Group = Marmot.Mls.Groups.Group;

namespace Marmot.Mls.Tests;

/// <summary>The examples of docs/mls.md are the code below, and every test named in the conformance page exists.</summary>
public partial class DocsTests
{
    [Fact]
    public void The_examples_of_the_page_run()
    {
        // begin example
        var suite = CipherSuite.X25519Aes128Ed25519;
        var capabilities = Capabilities.Of(extensions: [ExtensionType.LastResort], proposals: [ProposalType.SelfRemove]);

        // Bob publishes a key package; Alice creates a group and adds him.
        var bobKeys = suite.GenerateSignatureKeyPair();
        using var bobPackage = KeyPackageSecrets.Create(suite, bobKeys, Credential.Basic("bob"u8), capabilities, Lifetime.Unlimited);

        var aliceKeys = suite.GenerateSignatureKeyPair();
        using var alicePackage = KeyPackageSecrets.Create(suite, aliceKeys, Credential.Basic("alice"u8), capabilities, Lifetime.Unlimited);
        using var alice = Group.Create("group id"u8.ToArray(), alicePackage, extensions: []);
        var commit = alice.Commit(new CommitRequest { Proposals = [new AddProposal(bobPackage.KeyPackage)] });
        alice.Merge(commit); // after the relay took commit.Message

        // Bob joins from the Welcome's bytes.
        var welcomeBytes = commit.Welcome!.ToBytes();
        MlsMessage.TryRead(welcomeBytes, out var welcome, out _);
        using var bob = Group.Join(welcome!, bobPackage);

        // A message: store the state before the bytes leave.
        var message = alice.Protect("hello"u8, padTo: 256);
        var stored = alice.Serialize();
        MlsMessage.TryRead(message.ToBytes(), out var received, out _);
        var hello = (ReceivedApplication)bob.Process(received!);

        // A commit is staged, looked at, then merged or discarded; one lost race can be rolled back.
        var renewal = alice.Commit(new CommitRequest { ForcePath = true });
        alice.Merge(renewal);
        var staged = ((ReceivedCommit)bob.Process(renewal.Message!)).Commit;
        if (staged.Added.Count == 0 && staged.Removed.Count == 0) bob.Merge(staged);
        var outerKey = bob.Export("marmot", "group-event"u8, 32);
        // end example
        Assert.Equal("hello"u8.ToArray(), hello.Data);
        Assert.Equal(alice.Export("marmot", "group-event"u8, 32), outerKey);
        Assert.True(Group.TryRestore(stored, null, out _));

        // begin example
        // Carol's process ends after every step; what it needs is in two byte strings, both secret.
        var carolKeys = suite.GenerateSignatureKeyPair();
        using var carolPackage = KeyPackageSecrets.Create(suite, carolKeys, Credential.Basic("carol"u8), capabilities,
            new Lifetime(1_700_000_000, 1_900_000_000));
        var storedPackage = carolPackage.ToBytes();
        var adding = alice.Commit(new CommitRequest
        {
            Proposals = [new AddProposal(carolPackage.KeyPackage)],
            Now = DateTimeOffset.FromUnixTimeSeconds(1_800_000_000),
        });
        alice.Merge(adding);
        KeyPackageSecrets.TryRead(storedPackage, out var restoredPackage);
        Group.TryJoin(adding.Welcome!, restoredPackage!, new JoinRequest(), out var carol, out _);
        restoredPackage!.Dispose(); // unless it is a last resort one
        Group.TryRestore(carol!.Serialize(), new GroupRules { MaxPastEpochs = 5 }, out carol);

        // Two commits for one epoch: Carol merges the first that she sees, then learns that the other one wins.
        var lost = alice.Commit(new CommitRequest { ForcePath = true });
        carol!.Merge(((ReceivedCommit)carol.Process(lost.Message!)).Commit);
        alice.Discard(lost);
        var won = alice.Commit(new CommitRequest { ForcePath = true });
        alice.Merge(won);
        if (carol.CanRollBack) carol.TryRollBack();
        if (carol.TryProcess(won.Message!, out var outcome, out var refusal)) carol.Merge(((ReceivedCommit)outcome!).Commit);
        carol.ForgetRollback(); // the race window has closed
        // end example
        Assert.Equal(MlsError.None, refusal);
        Assert.Equal(alice.EpochAuthenticator, carol.EpochAuthenticator);
    }

    [Fact]
    public void Every_example_in_the_page_is_one_that_runs()
    {
        var page = File.ReadAllText(Path.Combine(Root(), "docs", "mls.md"));
        var shown = PageExample().Matches(page).Select(m => m.Groups[1].Value.Trim()).ToArray();
        var run = Example().Matches(File.ReadAllText(Here()))
            .Select(m => string.Join('\n', m.Groups[1].Value.Split('\n').Select(l => l.StartsWith("        ", StringComparison.Ordinal) ? l[8..] : l)).Trim());
        Assert.Equal(2, shown.Length);
        Assert.Equal(run, shown);
    }

    [Fact]
    public void Every_test_and_file_named_in_the_conformance_page_exists()
    {
        var tests = typeof(DocsTests).Assembly.GetTypes().SelectMany(t => t.GetMethods().Select(m => $"{t.Name}.{m.Name}")).ToHashSet();
        var page = File.ReadAllText(Path.Combine(Root(), "docs", "conformance", "rfc9420.md"));
        var named = TestName().Matches(page).Select(m => m.Groups[1].Value).ToArray();
        Assert.True(named.Length > 60);
        Assert.All(named, n => Assert.Contains(n, tests));
        var files = FileName().Matches(page).Select(m => m.Groups[1].Value).ToArray();
        Assert.True(files.Length > 60);
        Assert.All(files, f => Assert.True(File.Exists(Path.Combine(Root(), "src", "Mls", f)), f));
    }

    private static string Here([CallerFilePath] string path = "") => path;

    private static string Root() => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(Here())!, "..", ".."));

    [GeneratedRegex(@"        // begin example\n(.*?)        // end example", RegexOptions.Singleline)]
    private static partial Regex Example();

    [GeneratedRegex(@"```csharp\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex PageExample();

    [GeneratedRegex(@"`(\w+Tests\.\w+)`")]
    private static partial Regex TestName();

    [GeneratedRegex(@"`([\w./]+\.cs)`")]
    private static partial Regex FileName();
}
