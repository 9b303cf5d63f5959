# Custom compliance for Intune: one line of JSON, whose names compliance.json refers to.
# Runs as SYSTEM in 64-bit PowerShell 5.1. It prints no content and no key.
$program = Join-Path $env:ProgramFiles 'Tidemark\tidemark.exe'
$result = @{ TidemarkInstalled = $false; TidemarkVersion = '0.0.0'; TidemarkHealth = 2 }
if (Test-Path -LiteralPath $program) {
    $result.TidemarkInstalled = $true
    $result.TidemarkVersion = [string](& $program version --json | ConvertFrom-Json).version
    & $program status | Out-Null
    $result.TidemarkHealth = [int]$LASTEXITCODE # 0 healthy, 1 degraded, 2 blind or not running
}
return $result | ConvertTo-Json -Compress
