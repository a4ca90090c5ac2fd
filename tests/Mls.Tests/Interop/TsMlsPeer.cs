using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;

namespace Marmot.Mls.Tests.Interop;

/// <summary>What every member of a group must have in common in an epoch.</summary>
internal sealed record Agreement(ulong Epoch, string TreeHash, string Authenticator, string Exported)
{
    public const string Label = "marmot";
    public const int Length = 32;
    public static readonly byte[] Context = "group-event"u8.ToArray();

    public static Agreement Of(Group group) => new(group.Epoch, Convert.ToHexStringLower(group.TreeHash), Convert.ToHexStringLower(group.EpochAuthenticator),
        Convert.ToHexStringLower(group.Export(Label, Context, Length)));
}

/// <summary>A Node process whose members live in ts-mls (Peer/peer.mjs). Bytes only pass through stdin and stdout.</summary>
internal sealed class TsMlsPeer : IDisposable
{
    private readonly Process _node;

    public TsMlsPeer()
    {
        var folder = Path.Combine(Path.GetDirectoryName(Here())!, "..", "Peer");
        Assert.True(Directory.Exists(Path.Combine(folder, "node_modules")), "ts-mls is not installed: run 'npm ci' in tests/Mls.Tests/Peer, or ./test");
        _node = System.Diagnostics.Process.Start(new ProcessStartInfo("node", "peer.mjs")
        {
            WorkingDirectory = folder,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;
    }

    /// <summary>One request, one reply; throws <see cref="TsMlsRefusal"/> when ts-mls refuses.</summary>
    public JsonObject Ask(string operation, object arguments)
    {
        var request = JsonSerializer.SerializeToNode(arguments)!.AsObject();
        request["op"] = operation;
        _node.StandardInput.WriteLine(request.ToJsonString());
        _node.StandardInput.Flush();
        var line = _node.StandardOutput.ReadLine() ?? throw new InvalidOperationException("the peer ended");
        var reply = JsonNode.Parse(line)!.AsObject();
        return reply["error"] is { } error ? throw new TsMlsRefusal(error.ToString()) : reply;
    }

    public KeyPackage Generate(string member) => Message(Ask("generate", new { member }), "keyPackage").KeyPackage!;

    public void Create(string member, string groupId, byte[] groupData)
        =>
            Ask("create", new
            {
                member,
                groupId = Convert.ToHexStringLower(System.Text.Encoding.UTF8.GetBytes(groupId)),
                extensions = Convert.ToHexStringLower(groupData),
            });

    public int Join(string member, MlsMessage welcome) => (int)Ask("join", new { member, welcome = Hex(welcome) })["leaf"]!;

    public (MlsMessage Commit, MlsMessage? Welcome) Commit(string member, IEnumerable<KeyPackage>? add = null, IEnumerable<int>? remove = null,
        byte[]? groupData = null)
    {
        var reply = Ask("commit", Content(member, add, remove, groupData));
        return (Message(reply, "commit"), reply["welcome"]!.ToString().Length == 0 ? null : Message(reply, "welcome"));
    }

    public MlsMessage Propose(string member, KeyPackage? add = null, int? remove = null) =>
        Message(Ask("propose", Content(member, add is null ? null : [add], remove is { } leaf ? [leaf] : null, null)), "message");

    public MlsMessage Send(string member, byte[] data) => Message(Ask("send", new { member, data = Convert.ToHexStringLower(data) }), "message");

    /// <summary>For each member: the application data in hex, or what the member is now: active or removedFromGroup.</summary>
    public string[] Process(IEnumerable<string> members, MlsMessage message)
        => [.. Ask("process", new { members, message = Hex(message) })["results"]!.AsArray().Select(r => r!.ToString())];

    public Agreement[] Agree(IEnumerable<string> members)
        =>
            [
                .. Ask("agree",
                    new { members, label = Agreement.Label, context = Convert.ToHexStringLower(Agreement.Context),
                        length = Agreement.Length })["members"]!.AsArray()
            .Select(m => new Agreement((ulong)m!["epoch"]!, (string)m["treeHash"]!, (string)m["authenticator"]!, (string)m["exported"]!))];

    public void Leave(string member) => Ask("leave", new { member });

    private static JsonObject Content(string member, IEnumerable<KeyPackage>? add, IEnumerable<int>? remove, byte[]? groupData)
    {
        var content = new JsonObject { ["member"] = member };
        if (add is not null) content["add"] = new JsonArray([.. add.Select(p => JsonValue.Create(Hex(MlsMessage.Of(p))))]);
        if (remove is not null) content["remove"] = new JsonArray([.. remove.Select(r => JsonValue.Create(r))]);
        if (groupData is not null) content["extensions"] = Convert.ToHexStringLower(groupData);
        return content;
    }

    private static string Hex(MlsMessage message) => Convert.ToHexStringLower(message.ToBytes());

    private static MlsMessage Message(JsonObject reply, string name)
    {
        Assert.True(MlsMessage.TryRead(Convert.FromHexString(reply[name]!.ToString()), out var message, out var error), error.ToString());
        return message!;
    }

    public void Dispose()
    {
        _node.StandardInput.Close();
        if (!_node.WaitForExit(10_000)) _node.Kill();
        _node.Dispose();
    }

    private static string Here([CallerFilePath] string path = "") => path;
}

/// <summary>ts-mls refused.</summary>
internal sealed class TsMlsRefusal(string reason) : Exception(reason);
