using System.CommandLine;

namespace Marmot.Terminal.Tests;

public sealed class ConsoleProgramTests
{
    private readonly StringWriter _output = new();
    private readonly StringWriter _error = new();
    private readonly List<string> _ran = [];

    [Theory]
    [InlineData("tool bake --help")]
    [InlineData("--help tool bake")]
    [InlineData("tool bake -h")]
    [InlineData("help tool bake")]
    [InlineData("tool bake bread --help")]
    public async Task Help_is_that_of_the_exact_command_and_nothing_is_run(string line)
    {
        Assert.Equal(0, await RunAsync(line));
        Assert.Contains("bake a thing", _output.ToString(), StringComparison.Ordinal);
        Assert.Contains("--heat <DEGREES>", _output.ToString(), StringComparison.Ordinal);
        Assert.Contains("the last words", _output.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("serve until", _output.ToString(), StringComparison.Ordinal);
        Assert.Empty(_ran);
    }

    [Theory]
    [InlineData("tool bak bread", "tool: unknown command 'bak'; did you mean 'bake'?")]
    [InlineData("tol", ": unknown command 'tol'; did you mean 'tool'?")]
    [InlineData("elephant --help", ": unknown command 'elephant'")]
    [InlineData("tool bake bread --haet 3", "tool bake: unknown option '--haet'; did you mean '--heat'?")]
    [InlineData("tool bake bread --haet=3", "tool bake: unknown option '--haet'; did you mean '--heat'?")]
    [InlineData("tool say one --fodler x", "tool say: unknown option '--fodler'; did you mean '--folder'?")]
    [InlineData("tool bake bread butter", "tool bake: unexpected 'butter'")]
    [InlineData("tool bake", "tool bake: Required argument 'THING' missing for command: 'bake'.")]
    [InlineData("tool bake bread --heat", "tool bake: Required argument missing for option: '--heat'.")]
    [InlineData("tool bake bread --heat 9000", "tool bake: --heat: '9000' is not a number from 1 to 300")]
    [InlineData("tool bake bread --how raw", "tool bake: --how: slow or fast, not 'raw'")]
    [InlineData("tool bake bread --Oven:Colour=red", "tool bake: takes no settings")]
    [InlineData("tool", "tool: say which: bake, say")]
    public async Task Wrong_usage_is_said_with_what_may_have_been_meant_and_ends_with_2(string line, string mistake)
    {
        Assert.Equal(2, await RunAsync(line));
        string[] lines = _error.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.EndsWith(mistake, lines[0], StringComparison.Ordinal);
        Assert.EndsWith(" --help' shows how it is used", lines[^1], StringComparison.Ordinal);
        Assert.Empty(_output.ToString());
        Assert.Empty(_ran);
    }

    [Fact]
    public async Task All_mistakes_of_values_are_said_at_once()
    {
        Assert.Equal(2, await RunAsync("tool bake bread --heat 0 --how raw"));
        Assert.Contains("--heat:", _error.ToString(), StringComparison.Ordinal);
        Assert.Contains("--how:", _error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_a_command_the_help_is_shown_and_it_is_wrong_usage()
    {
        Assert.Equal(2, await RunAsync(""));
        Assert.Contains("serve", _output.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--folder here tool bake bread")]
    [InlineData("tool --folder here bake bread")]
    [InlineData("tool bake --folder=here bread")]
    [InlineData("tool bake bread --folder here")]
    public async Task A_global_option_may_stand_anywhere(string line)
    {
        Assert.Equal(0, await RunAsync(line));
        Assert.Equal(["bake bread 180 slow in here"], _ran);
    }

    [Theory]
    [InlineData("tool say @home - -x", "say @home - -x")]
    [InlineData("tool say -- --heat 3", "say --heat 3")]
    [InlineData("tool say -- a:b=c --Oven:Colour=red", "say a:b=c --Oven:Colour=red")]
    public async Task What_is_text_stays_text(string line, string ran)
    {
        Assert.Equal(0, await RunAsync(line));
        Assert.Equal([ran], _ran);
    }

    [Theory]
    [InlineData("serve", "serve")]
    [InlineData("serve --Oven:Colour=red --config c.json", "serve --config c.json --Oven:Colour=red")]
    [InlineData("serve --Oven:Colour red", "serve --Oven:Colour=red")]
    [InlineData("serve --Oven:Colour stop", "serve --Oven:Colour=stop")]
    [InlineData("serve --Oven:Urls=http://*:1 --Oven:0:Name=a:b=c", "serve --Oven:Urls=http://*:1 --Oven:0:Name=a:b=c")]
    [InlineData("serve --Oven:Colour", "serve --Oven:Colour")]
    [InlineData("serve Oven:Colour=red", "serve Oven:Colour=red")]
    [InlineData("serve --urls=x --Colour red", "serve --urls=x --Colour red")]
    [InlineData("serve --config", "serve --config")]
    [InlineData("serve stop --Oven:Colour=red now", "stop now --Oven:Colour=red")]
    [InlineData("serve stop ws://host/?a=b", "stop ws://host/?a=b")]
    public async Task Settings_reach_the_configuration_in_each_of_their_forms_and_what_a_role_does_not_know_too(string line, string ran)
    {
        Assert.Equal(0, await RunAsync(line));
        Assert.Equal([ran], _ran);
    }

    [Theory]
    [InlineData("", true)]
    [InlineData("--Oven:Colour=red --config c.json --config=c.json", false)]
    [InlineData("--Oven:Colour=red --config c.json --Oven:Urls=http://*:1", true)]
    [InlineData("--Oven:Colour red", false)]
    [InlineData("--config", false)]
    [InlineData("--config --help", false)]
    [InlineData("--help", false)]
    [InlineData("--urls=http://*:1", false)]
    [InlineData("--=a:b", false)]
    [InlineData("Oven:Colour=red", false)]
    [InlineData("stop", false)]
    [InlineData("--", false)]
    public void Only_whole_settings_go_past_the_parser(string line, bool are) =>
        Assert.Equal(are, SettingWords.AreAll(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)));

    [Theory]
    [InlineData("serve stpo", "serve: unknown command 'stpo'; did you mean 'stop'?")]
    [InlineData("serve stop --config", "serve stop: --config: the file's name is missing")]
    [InlineData("serve stop --confg x", "serve stop: unknown option '--confg'; did you mean '--config'?")]
    public async Task A_command_below_a_role_knows_all_its_words(string line, string mistake)
    {
        Assert.Equal(2, await RunAsync(line));
        Assert.Contains(mistake, _error.ToString(), StringComparison.Ordinal);
        Assert.Empty(_ran);
    }

    [Theory]
    [InlineData("serve ", "stop", "--config")]
    [InlineData("tool b", "bake", "say")]
    [InlineData("tool bake --h", "--heat", "--folder")]
    [InlineData("tool bake x --how ", "fast", "--heat")]
    [InlineData("completion ", "fish", "serve")]
    public async Task The_shell_is_told_what_could_stand_at_the_cursor(string line, string among, string notAmong)
    {
        var root = Create();
        line = $"{root.Name} {line}";
        Assert.Equal(0, await ConsoleProgram.RunAsync(root, [$"[suggest:{line.Length}]", line], _output, _error));
        string[] words = _output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains(among, words);
        Assert.True(line.EndsWith(' ') || !words.Contains(notAmong), string.Join(' ', words));
    }

    private Task<int> RunAsync(string line) => ConsoleProgram.RunAsync(Create(), line.Split(' ', StringSplitOptions.RemoveEmptyEntries), _output, _error);

    private RootCommand Create()
    {
        var folder = Define.Text("--folder", "FOLDER", "where");
        folder.Recursive = true;
        var thing = Define.Word("THING", "what");
        var heat = Define.Number("--heat", "DEGREES", "how hot", 1, 300, 180);
        var how = Define.Choice("--how", "how", "slow", "fast");
        var bake = new Command("bake", "bake a thing") { thing, heat, how };
        bake.SetAction(words => Ran($"bake {words.GetValue(thing)} {words.GetValue(heat)} {words.GetValue(how)} in {words.GetValue(folder)}"));
        var texts = Define.Words("TEXT", "what to say");
        var say = new Command("say", "say a thing") { texts };
        say.SetAction(words => Ran("say " + string.Join(' ', words.GetValue(texts)!)));
        var serve = new Command("serve", "serve until told to stop");
        serve.RunsWithSettings(settings => Task.FromResult(Ran(string.Join(' ', ["serve", .. settings]))));
        var why = Define.OptionalWord("WHY", "the reason");
        var stop = new Command("stop", "stop serving") { why };
        stop.TakeSettings();
        stop.SetAction(words => Ran(string.Join(' ', ["stop", words.GetValue(why)!, .. SettingWords.From(words)])));
        serve.Add(stop);
        var root = new RootCommand("a program") { new Command("tool", "tools") { bake, say }, serve, folder };
        ConsoleProgram.Complete(root, "the last words");
        return root;
    }

    private int Ran(string what)
    {
        _ran.Add(what);
        return 0;
    }
}
