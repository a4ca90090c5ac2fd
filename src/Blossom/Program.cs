using Marmot.Blossom;
using Marmot.Blossom.Commands;
using Marmot.Hosting;

if (args is [var word, ..] && BlossomCommands.Names.Contains(word))
{
    return await BlossomCommands.RunAsync(args);
}

var builder = MarmotHost.CreateBuilder(args);
builder.AddBlossom();
var app = builder.Build();
app.MapBlossom();
await app.RunAsync();
return 0;
